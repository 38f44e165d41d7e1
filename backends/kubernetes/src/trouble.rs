//! What the API server refuses, sorted by what is to be done about it.

use tessera_contract::BackendError;

/// A call that did not succeed.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// The status code, where the API server answered.
    pub(crate) code: Option<u16>,
    /// What it means where no other meaning is known.
    pub(crate) error: BackendError,
}

impl Trouble {
    /// The API server knows no such object.
    pub(crate) fn is_gone(&self) -> bool {
        self.code == Some(404)
    }
}

impl From<Trouble> for BackendError {
    fn from(trouble: Trouble) -> Self {
        trouble.error
    }
}

/// Sorts what a call came to. `verb` and `resource` are those of a Role.
pub(crate) fn of(verb: &str, resource: &str, namespace: &str, error: &kube::Error) -> Trouble {
    let tried = format!("to {verb} {resource} in namespace `{namespace}`");
    let kube::Error::Api(status) = error else {
        return Trouble { code: None, error: unanswered(&tried, error) };
    };
    let said = match status.message.trim() {
        "" => format!("status {}", status.code),
        message => message.to_owned(),
    };
    let allow = format!("allow the server's account to {verb} {resource} there (see the Role in the chart)");
    let error = match status.code {
        401 => BackendError::Misconfigured(format!(
            "{tried}: the API server does not know who asks ({said}); renew the token or the certificate of the kubeconfig \
             or of the service account"
        )),
        403 if lacks_a_right(&said) => BackendError::Misconfigured(format!("{tried}: {said}; {allow}")),
        403 if said.contains("being terminated") => BackendError::Misconfigured(format!(
            "{tried}: {said}; wait until the namespace is gone, then make it again, or configure another `namespace`"
        )),
        // Of Jobs and Secrets themselves; that for Pods refuses Pods, and those are not made by us.
        403 if said.contains("exceeded quota") => BackendError::Unavailable(format!("{tried}: {said}")),
        404 if said.contains("namespaces \"") => {
            BackendError::Misconfigured(format!("{tried}: {said}; make the namespace or configure another `namespace`"))
        }
        404 if said.contains("could not find the requested resource") => {
            BackendError::Misconfigured(format!("{tried}: {said}; the cluster is too old, or this is no Kubernetes"))
        }
        405 => BackendError::Misconfigured(format!("{tried}: {said}")),
        400 | 403 | 413 | 422 => BackendError::Rejected(format!("{tried}: {said}")),
        // 429 and 5xx: it says itself that this may pass. Anything else we do not expect; nothing is lost by waiting.
        _ => BackendError::Unavailable(format!("{tried}: the API server answered {}: {said}", status.code)),
    };
    Trouble { code: Some(status.code), error }
}

/// What authorization says, and admission never does.
fn lacks_a_right(said: &str) -> bool {
    said.contains(" cannot ") && said.contains(" resource \"")
}

/// No answer, or none of the API server's.
fn unanswered(tried: &str, error: &kube::Error) -> BackendError {
    let said = whole(error);
    if let kube::Error::Auth(_) = error {
        return BackendError::Misconfigured(format!(
            "{tried}: the credentials of the kubeconfig cannot be used: {said}"
        ));
    }
    if said.contains("invalid peer certificate") {
        return BackendError::Misconfigured(format!(
            "{tried}: the API server's certificate is not the one that the kubeconfig trusts: {said}"
        ));
    }
    BackendError::Unavailable(format!("{tried}: {said}"))
}

/// An error with its causes; those that only repeat the former are left out.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sorted(code: u16, message: &str) -> &'static str {
        let status = kube::core::Status::failure(message, "").with_code(code);
        let trouble = of("create", "jobs", "tasks", &kube::Error::Api(status.boxed()));
        assert_eq!(trouble.code, Some(code));
        let (word, text) = match trouble.error {
            BackendError::Rejected(text) => ("rejected", text),
            BackendError::Unavailable(text) => ("unavailable", text),
            BackendError::Misconfigured(text) => ("misconfigured", text),
        };
        assert!(text.contains("to create jobs in namespace `tasks`") && text.contains(message), "{text}");
        word
    }

    #[test]
    fn refusals_are_sorted_by_what_is_to_be_done() {
        let rbac = "jobs.batch is forbidden: User \"u\" cannot create resource \"jobs\" in API group \"batch\" in the \
                    namespace \"tasks\"";
        let ending = "jobs.batch \"x\" is forbidden: unable to create new content in namespace tasks because it is \
                      being terminated";
        for (code, message, expected) in [
            (400, "Job in version \"v1\" cannot be handled as a Job", "rejected"),
            (400, "admission webhook \"w\" denied the request: no", "rejected"),
            (401, "Unauthorized", "misconfigured"),
            (403, rbac, "misconfigured"),
            (403, ending, "misconfigured"),
            (403, "jobs.batch \"x\" is forbidden: exceeded quota: q, requested: count/jobs.batch=1", "unavailable"),
            (403, "admission webhook \"w\" denied the request: image not allowed", "rejected"),
            (403, "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\"", "rejected"),
            (404, "namespaces \"tasks\" not found", "misconfigured"),
            (404, "jobs.batch \"x\" not found", "unavailable"),
            (404, "the server could not find the requested resource", "misconfigured"),
            (405, "the server does not allow this method on the requested resource", "misconfigured"),
            (409, "jobs.batch \"x\" already exists", "unavailable"),
            (413, "Request entity too large: limit is 3145728", "rejected"),
            (422, "Job.batch \"x\" is invalid: spec.template.spec.containers[0].image: Required value", "rejected"),
            (429, "too many requests", "unavailable"),
            (500, "etcdserver: request timed out", "unavailable"),
            (503, "apiserver is shutting down", "unavailable"),
        ] {
            assert_eq!(sorted(code, message), expected, "{code} {message}");
        }
    }

    #[test]
    fn no_answer_may_pass_and_a_foreign_certificate_does_not() {
        let of = |text: &str| of("list", "pods", "tasks", &kube::Error::Service(text.into())).error;
        assert!(matches!(of("connection refused"), BackendError::Unavailable(_)));
        assert!(matches!(of("invalid peer certificate: UnknownIssuer"), BackendError::Misconfigured(_)));
    }
}

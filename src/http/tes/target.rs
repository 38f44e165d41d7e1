//! Which paths there are, and what each allows (TES contract §3).
//!
//! Not a table of axum's: a task id with `:cancel` behind it is one segment (3.7), every path but these is a 404 for
//! every method (3.3), and nothing is ever redirected (3.6).

use percent_encoding::percent_decode_str;

/// Where the one API is served (3.2).
pub const PREFIXES: [&str; 3] = ["/ga4gh/tes/v1", "/v1", ""];

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `/service-info`
    ServiceInfo,
    /// `/tasks/service-info`, as it was before TES 1.0 (3.5).
    OldServiceInfo,
    /// `/tasks`
    Tasks,
    /// `/tasks/{id}`
    Task(String),
    /// `/tasks/{id}:cancel`
    Cancel(String),
}

impl Target {
    /// What a path names, under any prefix.
    pub fn find(path: &str) -> Option<Self> {
        PREFIXES.iter().find_map(|prefix| Self::below_prefix(path.strip_prefix(prefix)?))
    }

    fn below_prefix(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        match path.split_once('/') {
            None if path == "service-info" => Some(Self::ServiceInfo),
            None if path == "tasks" => Some(Self::Tasks),
            Some(("tasks", segment)) if !segment.contains('/') => Self::task(segment),
            None | Some(_) => None,
        }
    }

    fn task(segment: &str) -> Option<Self> {
        let segment = percent_decode_str(segment).decode_utf8().ok()?;
        match segment.split_once(':') {
            // 3.10: no id holds a colon, so that nothing else can be meant by one.
            Some((id, "cancel")) if !id.is_empty() => Some(Self::Cancel(id.to_owned())),
            Some(_) => None,
            None if segment == "service-info" => Some(Self::OldServiceInfo),
            None if segment.is_empty() => None,
            None => Some(Self::Task(segment.into_owned())),
        }
    }

    /// The methods that the path knows, as `Allow` lists them (3.4).
    pub fn allow(&self) -> &'static str {
        match self {
            Self::ServiceInfo | Self::OldServiceInfo | Self::Task(_) => "GET, HEAD",
            Self::Tasks => "GET, HEAD, POST",
            Self::Cancel(_) => "POST",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_3_2_one_api_under_three_prefixes() {
        for prefix in PREFIXES {
            for (path, target) in [
                ("/service-info", Target::ServiceInfo),
                ("/tasks", Target::Tasks),
                ("/tasks/", Target::Tasks),
                ("/tasks/abc", Target::Task("abc".to_owned())),
                ("/tasks/abc/", Target::Task("abc".to_owned())),
                ("/tasks/abc:cancel", Target::Cancel("abc".to_owned())),
                ("/tasks/abc%3Acancel", Target::Cancel("abc".to_owned())),
                ("/tasks/abc%3acancel/", Target::Cancel("abc".to_owned())),
                ("/tasks/service-info", Target::OldServiceInfo),
                ("/tasks/a%2Fb", Target::Task("a/b".to_owned())),
            ] {
                assert_eq!(Target::find(&format!("{prefix}{path}")), Some(target), "{prefix}{path}");
            }
        }
    }

    #[test]
    fn rule_3_3_everything_else_is_unknown() {
        for path in [
            "",
            "/",
            "//tasks",
            "/tasks//",
            "/tasks/a/b",
            "/tasks/:cancel",
            "/tasks/a:pause",
            "/tasks/a:cancel:cancel",
            "/tasks/%ff",
            "/v1",
            "/v1/",
            "/v1/v1/tasks",
            "/ga4gh/tes/v1/ga4gh/tes/v1/tasks",
            "/ga4gh/tes/v1/v1/tasks",
            "/v2/tasks",
            "/TASKS",
            "/v1tasks",
        ] {
            assert_eq!(Target::find(path), None, "{path}");
        }
    }
}

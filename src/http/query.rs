//! Query strings, read strictly: broken UTF-8 and NUL are refused, where most readers replace them.

use percent_encoding::percent_decode_str;

use super::error::ApiError;

/// The parameters of a request, in the order sent.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part behind the `?`, if there is one.
    pub fn read(query: Option<&str>) -> Result<Self, ApiError> {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        pairs.map(pair).collect::<Result<_, _>>().map(Self)
    }

    /// The value of a parameter that may be given once. An empty value counts as absent (TES contract 4.12).
    pub fn one(&self, name: &str) -> Result<Option<&str>, ApiError> {
        Ok(self.one_or_empty(name)?.filter(|value| !value.is_empty()))
    }

    /// The value of a parameter that may be given once, also when it is empty.
    pub fn one_or_empty(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            Some(_) => Err(ApiError::field(name, format!("{name} is given more than once"))),
            None => Ok(first),
        }
    }

    /// The values of a parameter that may be given often.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn pair(pair: &str) -> Result<(String, String), ApiError> {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    let name = decode(name).ok_or_else(|| ApiError::bad_request("a query parameter's name is not UTF-8"))?;
    match decode(value) {
        Some(value) if value.contains('\0') => Err(ApiError::field(name, "the value holds a NUL character")),
        Some(value) => Ok((name, value)),
        None => Err(ApiError::field(name, "the value is not UTF-8")),
    }
}

fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rule_4_12_an_empty_value_is_absent() {
        let query = Query::read(Some("a=&b&c=1&&d=x%20y+z")).unwrap();
        assert_eq!(query.one("a").unwrap(), None);
        assert_eq!(query.one_or_empty("a").unwrap(), Some(""));
        assert_eq!(query.one("b").unwrap(), None);
        assert_eq!(query.one("c").unwrap(), Some("1"));
        assert_eq!(query.one("d").unwrap(), Some("x y z"));
        assert_eq!(query.one("e").unwrap(), None);
        assert!(Query::read(None).unwrap().one("a").unwrap().is_none());
    }

    #[test]
    fn rule_3_11_broken_utf_8_and_nul_are_refused() {
        for query in ["a=%ff", "%ff=a", "a=%00", "a=%ED%A0%80"] {
            assert!(Query::read(Some(query)).is_err(), "{query}");
        }
        assert!(Query::read(Some("a=1&a=2")).unwrap().one("a").is_err());
    }
}

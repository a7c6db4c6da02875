//! Where the jobs of each kind are posted.

use hyper::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

/// The kind's place in the URL.
const PLACE: &str = "{kind}";
/// All but what RFC 3986 calls unreserved: then it is one segment whatever it holds.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why jobs cannot be posted there.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum HttpTargetError {
    /// Not a URL that this posts to.
    #[error("{url}: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The URL has a place for a kind, and the job has none.
    #[error("the URL needs a kind, and the job has none")]
    KindNeeded,
    /// `.` and `..` would be another place, not a name in this one.
    #[error("a job of kind {0:?} cannot be posted: in a URL that is another folder")]
    KindDots(String),
}

/// A URL of a service. `{kind}` in it stands for the kind of the job, as one percent-encoded segment; without it `/KIND` is
/// appended to the path when the job has a kind.
///
/// ```
/// use proletariat::worker::handlers::HttpTarget;
/// let target = HttpTarget::parse("http://10.0.0.5:8080/api")?;
/// assert_eq!(target.uri(Some("a/b"))?, "http://10.0.0.5:8080/api/a%2Fb");
/// # Ok::<_, proletariat::worker::handlers::HttpTargetError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpTarget {
    /// Before and after the kind; without a place for it, the end of the path.
    before: String,
    after: String,
    is_placed: bool,
}

impl HttpTarget {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`HttpTargetError::Url`]; https is not spoken.
    pub fn parse(url: &str) -> Result<Self, HttpTargetError> {
        let wrong = |reason: &str| HttpTargetError::Url { url: url.to_owned(), reason: reason.to_owned() };
        let sample: Uri =
            url.replace(PLACE, "kind").parse().map_err(|error| wrong(&format!("no URL ({error})")))?;
        match sample.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(wrong(
                    "https is not spoken; put a proxy on this host, and name its http:// address",
                ));
            }
            Some(other) => return Err(wrong(&format!("{other} is not http"))),
            None => return Err(wrong("expected a URL like http://host:port/path")),
        }
        let authority = sample.authority().ok_or_else(|| wrong("the host is missing"))?;
        if authority.host().is_empty() {
            return Err(wrong("the host is missing"));
        }
        if authority.as_str().contains('@') {
            return Err(wrong("a name and password in the URL are not sent"));
        }
        let url = url.split_once('#').map_or(url, |(url, _)| url);
        if let Some((before, after)) = url.split_once(PLACE) {
            if after.contains(PLACE) {
                return Err(wrong("{kind} stands in it twice"));
            }
            if before.matches('/').count() < 3 {
                return Err(wrong("{kind} belongs into the path or behind it"));
            }
            return Ok(Self { before: before.to_owned(), after: after.to_owned(), is_placed: true });
        }
        let (path, query) = url.split_at(url.find('?').unwrap_or(url.len()));
        Ok(Self { before: path.to_owned(), after: query.to_owned(), is_placed: false })
    }

    /// Where a job of this kind is posted.
    ///
    /// # Errors
    /// [`HttpTargetError::KindNeeded`] and [`HttpTargetError::KindDots`].
    pub fn uri(&self, kind: Option<&str>) -> Result<Uri, HttpTargetError> {
        let Self { before, after, is_placed } = self;
        let url = match kind {
            Some(dots @ ("." | "..")) => return Err(HttpTargetError::KindDots(dots.to_owned())),
            Some(kind) => {
                let segment = utf8_percent_encode(kind, ENCODED);
                match is_placed {
                    true => format!("{before}{segment}{after}"),
                    false => format!("{}/{segment}{after}", before.trim_end_matches('/')),
                }
            }
            None if *is_placed => return Err(HttpTargetError::KindNeeded),
            None => format!("{before}{after}"),
        };
        url.parse().map_err(|error: hyper::http::uri::InvalidUri| HttpTargetError::Url {
            url,
            reason: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(url: &str, kind: Option<&str>) -> Result<String, HttpTargetError> {
        Ok(HttpTarget::parse(url)?.uri(kind)?.to_string())
    }

    #[test]
    fn the_kind_is_one_segment() {
        let table = [
            ("http://h:1", Some("mult"), "http://h:1/mult"),
            ("http://h:1/", Some("mult"), "http://h:1/mult"),
            ("http://h/api", Some("mult"), "http://h/api/mult"),
            ("http://h/api?x=1", Some("mult"), "http://h/api/mult?x=1"),
            ("http://h/do/{kind}/now?x=1", Some("mult"), "http://h/do/mult/now?x=1"),
            ("http://h/do?kind={kind}#part", Some("a&b=c"), "http://h/do?kind=a%26b%3Dc"),
            ("http://h", Some("../x?y#ü {kind}"), "http://h/..%2Fx%3Fy%23%C3%BC%20%7Bkind%7D"),
            ("http://h", Some("..."), "http://h/..."),
            ("http://h:1", None, "http://h:1/"),
            ("http://[::1]:8/a/{kind}", Some("k"), "http://[::1]:8/a/k"),
        ];
        for (url, kind, expected) in table {
            assert_eq!(uri(url, kind).as_deref(), Ok(expected), "{url} {kind:?}");
        }
    }

    #[test]
    fn a_job_without_a_kind_goes_to_the_url_itself() {
        assert_eq!(uri("http://h/api", None).as_deref(), Ok("http://h/api"));
        assert_eq!(uri("http://h/api?x=1", None).as_deref(), Ok("http://h/api?x=1"));
        assert_eq!(uri("http://h/{kind}", None), Err(HttpTargetError::KindNeeded));
    }

    #[test]
    fn dots_and_strange_urls_are_refused() {
        for kind in [".", ".."] {
            assert_eq!(uri("http://h", Some(kind)), Err(HttpTargetError::KindDots(kind.into())));
        }
        let bad = [
            ("h:1", "expected a URL like"),
            ("/path", "expected a URL like"),
            ("https://h", "https is not spoken"),
            ("ftp://h", "ftp is not http"),
            ("http://me:secret@h/", "not sent"),
            ("http://h/{kind}/{kind}", "twice"),
            ("http://{kind}.h/", "belongs into the path"),
            ("http://h:{kind}/", ""),
            ("http://", "no URL"),
            ("", "no URL"),
            ("http://h/a b", "no URL"),
        ];
        for (url, reason) in bad {
            let error = HttpTarget::parse(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
    }
}

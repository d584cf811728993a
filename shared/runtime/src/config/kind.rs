//! What a setting's text may be.

use std::net::SocketAddr;
use std::time::Duration;

use super::shown;
use super::value::{ByteSize, parse_duration};

/// The kind of a setting: decides what is accepted, and what the help says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An address to listen at: `127.0.0.1:8080`, `[::1]:8080`.
    Address,
    /// One or more `host:port`, separated by commas.
    HostPorts,
    /// An absolute `http` or `https` URL without query and fragment.
    Url,
    /// Any text but the empty one.
    Text,
    /// A path that need not exist.
    Path,
    /// A file that must be readable.
    File,
    /// A file that must be readable and whose content is a secret.
    SecretFile,
    /// One of a few words, in any case.
    Choice(&'static [&'static str]),
    /// A whole number from the first to the last.
    Count(u64, u64),
    /// Milliseconds from the first to the last, written with a unit: `500ms`, `2.5s`, `15m`, `1h`, `7d`.
    Duration(u64, u64),
    /// Bytes from the first to the last: `512KiB`, `4MiB`, or a bare number.
    Bytes(u64, u64),
}

impl Kind {
    /// How the help names a value.
    #[must_use]
    pub const fn placeholder(self) -> &'static str {
        match self {
            Self::Address => "ADDRESS",
            Self::HostPorts => "HOST:PORT,...",
            Self::Url => "URL",
            Self::Text => "TEXT",
            Self::Path => "PATH",
            Self::File | Self::SecretFile => "FILE",
            Self::Choice(_) => "WORD",
            Self::Count(..) => "NUMBER",
            Self::Duration(..) => "DURATION",
            Self::Bytes(..) => "BYTES",
        }
    }

    /// The text in its one spelling.
    ///
    /// # Errors
    /// Why it is not a value of this kind.
    pub fn parse(self, text: &str) -> Result<String, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("must not be empty".to_owned());
        }
        match self {
            Self::Address => text
                .parse::<SocketAddr>()
                .map(|address| address.to_string())
                .map_err(|_| {
                    format!(
                        "expected an address like 127.0.0.1:8080, got {}",
                        shown(text)
                    )
                }),
            Self::HostPorts => host_ports(text),
            Self::Url => url(text),
            Self::Text | Self::Path => Ok(text.to_owned()),
            Self::File | Self::SecretFile => {
                match std::fs::File::open(text).and_then(|f| f.metadata()) {
                    Ok(metadata) if metadata.is_dir() => {
                        Err(format!("cannot read {}: is a directory", shown(text)))
                    }
                    Ok(_) => Ok(text.to_owned()),
                    Err(error) => Err(format!("cannot read {}: {error}", shown(text))),
                }
            }
            Self::Choice(words) => words
                .iter()
                .find(|word| word.eq_ignore_ascii_case(text))
                .map(|word| (*word).to_owned())
                .ok_or_else(|| {
                    format!("expected one of {}, got {}", words.join(", "), shown(text))
                }),
            Self::Count(least, most) => match text.parse::<u64>() {
                Ok(count) if (least..=most).contains(&count) => Ok(count.to_string()),
                _ => Err(format!(
                    "expected a whole number from {least} to {most}, got {}",
                    shown(text)
                )),
            },
            Self::Duration(least, most) => {
                let (least, most) = (Duration::from_millis(least), Duration::from_millis(most));
                match parse_duration(text) {
                    Ok(duration) if (least..=most).contains(&duration) => Ok(text.to_owned()),
                    Ok(_) => Err(format!(
                        "expected {least:?} to {most:?}, got {}",
                        shown(text)
                    )),
                    Err(reason) => Err(reason),
                }
            }
            Self::Bytes(least, most) => match text.parse::<ByteSize>() {
                Ok(ByteSize(bytes)) if (least..=most).contains(&bytes) => Ok(text.to_owned()),
                Ok(_) => Err(format!(
                    "expected {} to {}, got {}",
                    ByteSize(least),
                    ByteSize(most),
                    shown(text)
                )),
                Err(reason) => Err(reason),
            },
        }
    }
}

/// Checks a list of `host:port` and removes the spaces from it.
fn host_ports(text: &str) -> Result<String, String> {
    let places: Vec<&str> = text.split(',').map(str::trim).collect();
    for place in &places {
        let well_formed = place.rsplit_once(':').is_some_and(|(host, port)| {
            let bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
            let plain = !host.is_empty() && !host.contains([':', '[', ']', '/', '@', ' ']);
            (bracketed || plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if !well_formed {
            return Err(format!(
                "expected host:port, or several separated by commas, got {}",
                shown(text)
            ));
        }
    }
    Ok(places.join(","))
}

/// Checks an absolute URL and removes the slash at its end.
fn url(text: &str) -> Result<String, String> {
    let refuse = || {
        format!(
            "expected a URL like https://memory.example.com without query or user, got {}",
            shown(text)
        )
    };
    let uri: actix_web::http::Uri = text.parse().map_err(|_| refuse())?;
    let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri
        .authority()
        .is_some_and(|a| !a.host().is_empty() && !a.as_str().contains('@'));
    if !scheme || !authority || uri.query().is_some() || text.contains('#') {
        return Err(refuse());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

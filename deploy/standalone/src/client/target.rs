//! Where a command goes, and as whom.

use std::net::IpAddr;

use clap::Args;
use kith_domain::id::StoreId;
use kith_runtime::credentials::{DEVELOPMENT_ACCOUNT, DEVELOPMENT_TOKEN};
use reqwest::Url;

use super::failure::Failure;

/// Where `kith serve` listens.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// Flags of every command of the client.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where and as whom")]
pub(crate) struct Flags {
    /// Base URL of the API
    #[arg(
        long,
        global = true,
        env = "KITH_URL",
        value_name = "URL",
        default_value = DEFAULT_URL
    )]
    url: String,
    /// Account sid, or the sid of an API key. On loopback by default the development account
    #[arg(long, global = true, env = "TWILIO_ACCOUNT_SID", value_name = "SID")]
    account: Option<String>,
    /// Its token, or the key's secret. Others see the arguments of a process: rather set the variable
    #[arg(
        long,
        global = true,
        env = "TWILIO_AUTH_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
    /// The store. By default the one of the development account
    #[arg(long, global = true, env = "KITH_STORE", value_name = "ID")]
    store: Option<String>,
    /// Print what the API answers, as it is
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Where a command goes, and as whom.
#[derive(Clone)]
pub(crate) struct Target {
    /// The base of all paths.
    pub(crate) url: Url,
    /// User of the basic authentication.
    pub(crate) account: String,
    /// Its password.
    pub(crate) token: String,
    /// The store.
    pub(crate) store: String,
}

impl Flags {
    /// What they come to.
    ///
    /// # Errors
    /// [`Failure::Wrong`].
    pub(crate) fn target(&self) -> Result<Target, Failure> {
        let url = url(given(Some(&self.url)).unwrap_or(DEFAULT_URL))?;
        let (account, token) = credentials(
            &url,
            given(self.account.as_deref()),
            given(self.token.as_deref()),
        )?;
        let development = ingest_api::DEVELOPMENT_STORE;
        let store = match given(self.store.as_deref()) {
            None => development.to_string(),
            Some(id) => {
                let parsed: Result<StoreId, _> = id.parse();
                parsed.map_err(|_| Failure::Wrong("--store: this is no store id".to_owned()))?;
                id.to_owned()
            }
        };
        Ok(Target {
            url,
            account: account.to_owned(),
            token: token.to_owned(),
            store,
        })
    }
}

/// Compose files and shells set variables to nothing when they mean not to set them.
fn given(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.is_empty())
}

fn url(text: &str) -> Result<Url, Failure> {
    let wrong = |reason: &str| Failure::Wrong(format!("--url: {reason}"));
    let url: Url = text
        .parse()
        .map_err(|_| wrong("this is no URL; it is like http://127.0.0.1:8080"))?;
    match url.scheme() {
        "http" if url.has_host() => {}
        "https" => {
            return Err(wrong(
                "TLS is not built into this command; give the http:// address behind your proxy, or run it there",
            ));
        }
        _ => return Err(wrong("it begins with http://")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("credentials go to --account and --token"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it ends with its path"));
    }
    Ok(url)
}

fn credentials<'a>(
    url: &Url,
    account: Option<&'a str>,
    token: Option<&'a str>,
) -> Result<(&'a str, &'a str), Failure> {
    match (account, token) {
        (Some(account), Some(token)) => Ok((account, token)),
        // As `kith serve` has it.
        (None, None) if is_loopback(url) => Ok((DEVELOPMENT_ACCOUNT, DEVELOPMENT_TOKEN)),
        (None, _) => Err(Failure::Wrong(
            "--account or TWILIO_ACCOUNT_SID: as whom?".to_owned(),
        )),
        (Some(_), None) => Err(Failure::Wrong(
            "--token or TWILIO_AUTH_TOKEN: the account's token is missing".to_owned(),
        )),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(url: &str, account: Option<&str>, token: Option<&str>) -> Flags {
        Flags {
            url: url.to_owned(),
            account: account.map(str::to_owned),
            token: token.map(str::to_owned),
            store: None,
            json: false,
        }
    }

    #[test]
    fn the_development_account_is_for_loopback_only() {
        for url in [
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://[::1]:1/base",
        ] {
            let target = flags(url, None, None).target().unwrap();
            assert_eq!(target.account, DEVELOPMENT_ACCOUNT);
            assert_eq!(target.token, DEVELOPMENT_TOKEN);
        }
        for url in [
            "http://192.0.2.1",
            "http://kith.example",
            "http://127.0.0.1.example",
        ] {
            assert!(flags(url, None, None).target().is_err(), "{url}");
            let target = flags(url, Some("AC1"), Some("t")).target().unwrap();
            assert_eq!(
                (target.account.as_str(), target.token.as_str()),
                ("AC1", "t")
            );
        }
    }

    #[test]
    fn half_a_credential_is_refused_and_a_variable_set_to_nothing_is_none() {
        let url = "http://127.0.0.1:8080";
        for (account, token) in [(Some("AC1"), None), (None, Some("t"))] {
            assert!(flags(url, account, token).target().is_err());
        }
        let target = flags(url, Some(""), Some("")).target().unwrap();
        assert_eq!(target.account, DEVELOPMENT_ACCOUNT);
    }

    #[test]
    fn what_is_no_base_is_refused_by_name() {
        for url in [
            "https://kith.example",
            "kith.example",
            "ftp://kith.example",
            "http://a:b@127.0.0.1",
            "http://127.0.0.1?x",
        ] {
            let Err(failure) = flags(url, None, None).target() else {
                panic!("{url} was taken");
            };
            assert!(failure.to_string().starts_with("--url: "), "{failure}");
            assert_eq!(failure.code(), 78);
        }
    }
}

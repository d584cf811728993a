//! The command line for people, as a process against a `kith serve`: every command, how it ends, and imports that are
//! faulty, cut off or answered late. What `docs/cli.md` shows is run as it stands there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use kith_tests::api::Api;
use kith_tests::pair::{Pair, Shape};
use kith_tests::poll::until;
use kith_tests::privacy;
use kith_tests::process::{Launch, binary, metric, was_signalled};
use kith_tests::servers::workspace;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Whoever gives commands, from a folder of its own.
struct Person {
    launch: Launch,
    dir: TempDir,
}

/// What a command did.
#[derive(Debug)]
struct Did {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Person {
    fn at(api: &Api) -> Result<Self> {
        let launch = Launch::new("kith")?.with("KITH_URL", api.base());
        let dir = tempfile::tempdir()?;
        Ok(Self { launch, dir })
    }

    /// The same person, with a variable set.
    fn with(&self, name: &str, value: &str) -> Result<Self> {
        let launch = self.launch.clone().with(name, value);
        let dir = tempfile::tempdir()?;
        Ok(Self { launch, dir })
    }

    fn command(&self, words: &[&str]) -> Result<std::process::Command> {
        // The values of traits, and of nothing else: the others stand in every log.
        for (_, value) in words.iter().filter_map(|word| word.split_once('=')) {
            privacy::sent(&json!(value));
        }
        let mut command = self.launch.command()?;
        command.args(words).current_dir(self.dir.path());
        Ok(command)
    }

    async fn does(&self, words: &[&str]) -> Result<Did> {
        let mut command = self.command(words)?;
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        Ok(Did::of(&output))
    }

    /// A command that must succeed; what it prints.
    async fn gets(&self, words: &[&str]) -> Result<String> {
        let did = self.does(words).await?;
        ensure!(did.code == Some(0), "{words:?}: {did:?}");
        Ok(did.out.trim_end().to_owned())
    }

    /// A command that must fail like this; what it says.
    async fn fails(&self, words: &[&str], code: i32) -> Result<String> {
        let did = self.does(words).await?;
        ensure!(did.code == Some(code), "{words:?}: {did:?}");
        ensure!(!did.err.is_empty(), "{words:?} failed without a word");
        Ok(did.err)
    }

    fn starts(&self, words: &[&str]) -> Result<Child> {
        let mut command = self.command(words)?;
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.spawn()?)
    }

    fn writes(&self, name: &str, text: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

impl Did {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

async fn standalone() -> Result<(Pair, Person)> {
    let pair = Pair::standalone(&Shape::single()).await?;
    let person = Person::at(pair.api())?;
    Ok((pair, person))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_created_found_shown_explained_and_deleted() -> Result<()> {
    let (pair, person) = standalone().await?;
    let create = |traits: &'static [&'static str]| {
        let person = &person;
        async move {
            person
                .gets(&[&["profile", "create"], traits].concat())
                .await
        }
    };
    let one = create(&[
        "Contact.email=ada.cli@example.com",
        "Contact.firstName=Augusta",
    ])
    .await?;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let two = create(&["Contact.phone=+13175550123"]).await?;
    ensure!(one.starts_with("mem_profile_") && one < two, "{one} {two}");
    let found = person
        .gets(&["profile", "lookup", "email", "ADA.cli@example.com"])
        .await?;
    ensure!(found == one, "{found}");
    let joined = create(&[
        "Contact.email=ada.cli@example.com",
        "Contact.phone=+13175550123",
    ])
    .await?;
    ensure!(joined == one, "{joined}");

    // The id that was merged away leads to the one that is left, and says so.
    let did = person.does(&["profile", "get", &two]).await?;
    ensure!(did.code == Some(0) && did.out.starts_with(&one), "{did:?}");
    ensure!(
        did.err.contains(&format!("{two} was merged into {one}")),
        "{did:?}"
    );
    for line in [
        "    email  \"ada.cli@example.com\"",
        "    phone  \"+13175550123\"",
        "    Contact.email  \"ada.cli@example.com\"",
    ] {
        ensure!(did.out.lines().any(|said| said == line), "{line}: {did:?}");
    }
    let raw = person.gets(&["profile", "get", &one, "--json"]).await?;
    let raw: Value = serde_json::from_str(&raw)?;
    ensure!(
        raw["traits"]["Contact"]["email"] == "ada.cli@example.com",
        "{raw}"
    );

    let told = person.gets(&["profile", "explain", &two]).await?;
    for line in [
        format!("    {two} into {one}, "),
        format!("        phone  \"+13175550123\"  of {two}"),
    ] {
        ensure!(
            told.lines().any(|said| said.starts_with(&line)),
            "{line}: {told}"
        );
    }
    let raw = person.gets(&["profile", "explain", &one, "--json"]).await?;
    let raw: Value = serde_json::from_str(&raw)?;
    ensure!(raw["merges"][0]["profileId"] == two.as_str(), "{raw}");

    let said = person.fails(&["profile", "delete", &two], 1).await?;
    ensure!(
        said.contains("nothing was deleted") && said.contains(&one),
        "{said}"
    );
    let did = person.gets(&["profile", "delete", &one]).await?;
    ensure!(did == format!("{one} is deleted"), "{did}");
    let said = person.fails(&["profile", "get", &one], 1).await?;
    ensure!(said.starts_with("404 (code "), "{said}");
    let nobody = ["profile", "lookup", "email", "ada.cli@example.com"];
    ensure!(person.fails(&nobody, 1).await? == "nobody has it\n");
    pair.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_made_and_used_by_its_name() -> Result<()> {
    let (pair, person) = standalone().await?;
    let store = person
        .gets(&["store", "create", "second", "--description", "for tests"])
        .await?;
    ensure!(store.starts_with("mem_store_"), "{store}");
    let other = person.with("KITH_STORE", &store)?;
    let email = "Contact.email=two.stores@example.com";
    let there = other.gets(&["profile", "create", email]).await?;
    let here = person.gets(&["profile", "create", email]).await?;
    ensure!(there != here);
    let lookup = [
        "profile",
        "lookup",
        "email",
        "two.stores@example.com",
        "--store",
        &store,
    ];
    ensure!(person.gets(&lookup).await? == there);
    let said = person.fails(&["store", "create", "second"], 1).await?;
    ensure!(said.contains("(code "), "{said}");
    pair.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_has_its_code_and_says_what_to_do() -> Result<()> {
    let (pair, person) = standalone().await?;
    let get = ["profile", "get", "mem_profile_00000000000000000000000009"];
    // The API's own words, with its code.
    let stranger = person.with("TWILIO_AUTH_TOKEN", "wrong")?;
    let stranger = stranger.with("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000000")?;
    ensure!(
        stranger
            .fails(&get, 1)
            .await?
            .starts_with("401 (code 20003)")
    );
    ensure!(
        person
            .fails(&["profile", "get", "nonsense"], 1)
            .await?
            .starts_with("400 (code 400)")
    );
    let invalid = [
        "profile",
        "create",
        "Contact.email=no address",
        "Contact.phone=0",
    ];
    let said = person.fails(&invalid, 1).await?;
    ensure!(
        said.contains("Contact.email") && said.contains("Contact.phone"),
        "{said}"
    );
    ensure!(!said.contains("no address"), "{said}");

    // What is wrong before anything is sent.
    for (words, named) in [
        (
            vec!["profile", "create", "Contact.mail=a@b.c"],
            "Contact.mail",
        ),
        (
            vec!["profile", "create", "Contact.email"],
            "GROUP.TRAIT=VALUE",
        ),
        (vec!["profile", "create"], "GROUP.TRAIT=VALUE"),
        (vec!["profile", "fetch", "x"], "fetch"),
        (vec!["store"], "create"),
        (vec!["import", "x.csv", "--batch", "0"], "--batch"),
        (
            vec!["profile", "get", "x", "--url", "https://kith.example"],
            "TLS",
        ),
        (
            vec!["profile", "get", "x", "--url", "http://kith.example"],
            "TWILIO_ACCOUNT_SID",
        ),
        (vec!["profile", "get", "x", "--store", "x"], "--store"),
    ] {
        let said = person.fails(&words, 78).await?;
        ensure!(said.contains(named), "{words:?}: {said}");
    }
    let none = person.fails(&["import", "none.csv"], 66).await?;
    ensure!(none.starts_with("none.csv: "), "{none}");
    let base = pair.api().base().to_owned();
    pair.stop().await?;
    let said = person.fails(&get, 69).await?;
    ensure!(
        said.contains(&base) && said.contains("kith serve"),
        "{said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_broken_are_told_by_their_lines_and_the_others_are_in() -> Result<()> {
    let (pair, person) = standalone().await?;
    let traits = json!({
        "points": {"dataType": "NUMBER"}, "member": {"dataType": "BOOLEAN"}, "tags": {"dataType": "ARRAY"},
    });
    pair.api().new_group("Loyalty", traits).await?;
    let mut text = String::from(
        "\u{feff}Contact.email,Contact.firstName,Loyalty.points,Loyalty.member,Loyalty.tags\r\n",
    )
    .into_bytes();
    let rows: [&[u8]; 11] = [
        b"quoted.row@example.com,\"Ann, \"\"the\r\nsecond\"\"\",12.5,TRUE,\"[\"\"a\"\",1]\"\r\n", // line 2, 3
        b"short.row@example.com,Short\r\n",               // line 4
        b"\r\n",                                          // line 5
        b"points.row@example.com,P,many,,\r\n",           // line 6
        b"latin.row@example.com,J\xf6rg,,,\r\n",          // line 7
        b",Nobody,1,,\r\n",                               // line 8
        b"no address at all,Invalid,1,,\r\n",             // line 9
        b"range.row@example.com,Range,99999999999,,\r\n", // line 10
        b"same.row@example.com,First,1,false,\r\n",       // line 11
        b"SAME.row@example.com,,2,,\r\n",                 // line 12
        b"last.row@example.com,Last,,,",                  // line 13
    ];
    rows.iter().for_each(|row| text.extend_from_slice(row));
    person.writes("people.csv", text)?;
    let did = person.does(&["import", "people.csv"]).await?;
    ensure!(did.code == Some(65), "{did:?}");
    ensure!(
        did.out.starts_with("10 rows: 4 imported, 6 refused, in "),
        "{did:?}"
    );
    let mut told: Vec<(u64, &str)> = did
        .err
        .lines()
        .filter_map(|line| line.strip_prefix("line ")?.split_once(": "))
        .filter_map(|(line, reason)| Some((line.parse().ok()?, reason)))
        .collect();
    told.sort_unstable();
    let lines: Vec<u64> = told.iter().map(|(line, _)| *line).collect();
    ensure!(lines == [4, 6, 7, 8, 9, 10], "{did:?}");
    for (place, reason) in [
        (0, "has 2 cells instead of 5"),
        (1, "Loyalty.points is not a number"),
        (2, "Contact.firstName is not UTF-8"),
        (3, "has no identifier"),
    ] {
        ensure!(told[place].1 == reason, "{told:?}");
    }
    ensure!(told[4].1.starts_with("Contact.email "), "{told:?}");
    ensure!(told[5].1.starts_with("Loyalty.points "), "{told:?}");
    ensure!(!did.err.contains("no address"), "{did:?}");

    let api = pair.api();
    ensure!(api.list().await?.len() == 3);
    let quoted = one(api, "quoted.row@example.com").await?;
    let name = json!("Ann, \"the\r\nsecond\"");
    api.until_trait(&quoted, ("Contact", "firstName"), name)
        .await?;
    for (name, value) in [
        ("points", json!(12.5)),
        ("member", json!(true)),
        ("tags", json!(["a", 1])),
    ] {
        api.until_trait(&quoted, ("Loyalty", name), value).await?;
    }
    // The later row's value, and of an empty cell the earlier one's.
    let same = one(api, "same.row@example.com").await?;
    api.until_trait(&same, ("Loyalty", "points"), json!(2))
        .await?;
    api.until_trait(&same, ("Contact", "firstName"), json!("First"))
        .await?;
    one(api, "last.row@example.com").await?;

    // Nothing is sent of a file that cannot be understood.
    for (name, text, said) in [
        (
            "header.csv",
            "Contact.email,Contact.nope\na@b.c,x\n",
            "column 2 of the header",
        ),
        ("empty.csv", "", "is empty"),
        (
            "anonymous.csv",
            "Contact.firstName\nAnn\n",
            "no column of the header is an identifier",
        ),
    ] {
        person.writes(name, text)?;
        let told = person.fails(&["import", name], 65).await?;
        ensure!(told.contains(said), "{name}: {told}");
    }
    ensure!(api.list().await?.len() == 3);
    pair.stop().await
}

/// The one profile that has an e-mail address.
async fn one(api: &Api, email: &str) -> Result<String> {
    let mut owners = api.owners("email", email).await?;
    ensure!(owners.len() == 1, "{} profiles", owners.len());
    owners.pop().context("no profile")
}

const PEOPLE: usize = 400;

/// Rows about people who come again and again: each time with another name, every other time by another identifier.
fn rows(count: usize) -> String {
    let mut text = String::from("Contact.email,Contact.phone,Contact.firstName,Contact.city\n");
    for number in 0..count {
        let (person, round) = (number % PEOPLE, number / PEOPLE);
        let email = format!("import.{person}@example.com");
        let phone = format!("+1317{:07}", 2_000_000 + person);
        let (email, phone) = match round % 3 {
            0 => (email.as_str(), phone.as_str()),
            1 => (email.as_str(), ""),
            _ => ("", phone.as_str()),
        };
        privacy::sent(&json!([email, phone]));
        // The second identifier of a row is what a later row without the first one is ordered by.
        writeln!(
            text,
            "{email},{phone},round {round} of {person},city {number}"
        )
        .expect("a string grows");
    }
    text
}

/// What a store says of everybody: the identifiers and traits by e-mail address, and how many profiles there are.
async fn everybody(api: &Api) -> Result<(usize, BTreeMap<String, Value>)> {
    let people = stream::iter((0..PEOPLE).map(|person| async move {
        let email = format!("import.{person}@example.com");
        let profile = one(api, &email).await?;
        let traits = api.get(&profile).await?.body["traits"].clone();
        let identifiers = api.identifiers(&profile).await?;
        anyhow::Ok((email, json!({"traits": traits, "identifiers": identifiers})))
    }));
    let people = people.buffer_unordered(8).try_collect().await?;
    Ok((api.list().await?.len(), people))
}

/// Waits until a store says the last round of everybody, and nothing else.
async fn is_whole(api: &Api, rows: usize) -> Result<BTreeMap<String, Value>> {
    until(Duration::from_secs(60), "all rows in order", || async {
        let (count, people) = everybody(api).await?;
        ensure!(count == PEOPLE, "{count} profiles");
        let last = rows / PEOPLE - 1;
        for (person, shown) in (0..PEOPLE).filter_map(|person| {
            Some((person, people.get(&format!("import.{person}@example.com"))?))
        }) {
            let contact = &shown["traits"]["Contact"];
            ensure!(
                contact["firstName"] == format!("round {last} of {person}"),
                "another name"
            );
            let number = last * PEOPLE + person;
            ensure!(contact["city"] == format!("city {number}"), "another city");
        }
        Ok(Some(people))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_rows_about_one_person_the_later_one_stands() -> Result<()> {
    let (pair, person) = standalone().await?;
    let count = PEOPLE * 4;
    person.writes("people.csv", rows(count))?;
    // Smaller than a round, and larger together: neighbours in flight share nobody, and the next round waits for them.
    let words = [
        "import",
        "people.csv",
        "--batch",
        "75",
        "--in-flight",
        "8",
        "--json",
    ];
    let summary: Value = serde_json::from_str(&person.gets(&words).await?)?;
    ensure!(
        summary == json!({"rows": count, "imported": count, "refused": 0}),
        "{summary}"
    );
    is_whole(pair.api(), count).await?;
    pair.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_and_given_again_ends_as_one_run_does() -> Result<()> {
    let (pair, person) = standalone().await?;
    let count = PEOPLE * 4;
    person.writes("people.csv", rows(count))?;
    person.gets(&["import", "people.csv"]).await?;
    let whole = is_whole(pair.api(), count).await?;

    let other = pair.api().new_store("cut-off").await?;
    let path = other.store_path();
    let store = path.rsplit('/').next().context("a store")?;
    let words = [
        "import",
        "people.csv",
        "--store",
        store,
        "--batch",
        "25",
        "--in-flight",
        "2",
    ];
    for at_least in [PEOPLE / 4, PEOPLE / 2] {
        let mut import = person.starts(&words)?;
        until(Duration::from_secs(60), "some of the rows", || async {
            Ok((other.list().await?.len() >= at_least).then_some(()))
        })
        .await?;
        import.kill()?;
        let status = import.wait()?;
        ensure!(was_signalled(status, 9), "it was over before: {status}");
    }
    // What a killed caller sent may still be under way for two deadlines of the service.
    tokio::time::sleep(Duration::from_secs(5)).await;
    person.gets(&words).await?;
    ensure!(
        is_whole(&other, count).await? == whole,
        "another end than one run's"
    );
    pair.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_when_the_service_is_back() -> Result<()> {
    let (mut pair, person) = standalone().await?;
    let count = PEOPLE * 4;
    person.writes("people.csv", rows(count))?;
    let words = ["import", "people.csv", "--batch", "25", "--in-flight", "2"];
    let mut import = person.starts(&words)?;
    let api = pair.api().clone();
    until(Duration::from_secs(60), "some of the rows", || async {
        Ok((api.list().await?.len() >= PEOPLE / 4).then_some(()))
    })
    .await?;
    pair.ingests[0].crash_and_restart().await?;
    ensure!(import.try_wait()?.is_none(), "it was over before");
    let status = tokio::task::spawn_blocking(move || import.wait()).await??;
    ensure!(status.success(), "{status}");
    is_whole(pair.api(), count).await?;

    // And gives up in time where it does not come back.
    let words = [&words[..], &["--patience", "2"]].concat();
    let requests = metric(&pair.ingests[0].metrics().await?, REQUESTS);
    let mut import = person.starts(&words)?;
    let enough = |count: f64| count > requests + 10.0;
    pair.ingests[0].until_metric(REQUESTS, enough).await?;
    pair.ingests[0].kill()?;
    let began = Instant::now();
    let status = tokio::task::spawn_blocking(move || import.wait()).await??;
    ensure!(status.code() == Some(69), "{status}");
    ensure!(
        began.elapsed() < Duration::from_secs(20),
        "it took {:?}",
        began.elapsed()
    );
    Ok(())
}

const REQUESTS: &str = "kith_http_requests_total";

#[tokio::test(flavor = "multi_thread")]
async fn an_import_waits_where_a_rate_limit_says_so() -> Result<()> {
    let shape = Shape::single().with("KITH_RATE_LIMIT", 20);
    let pair = Pair::standalone(&shape).await?;
    let person = Person::at(pair.api())?;
    person.writes("people.csv", rows(PEOPLE))?;
    let words = ["import", "people.csv", "--batch", "5", "--in-flight", "8"];
    let said = person.gets(&words).await?;
    ensure!(
        said.starts_with("400 rows: 400 imported, 0 refused, "),
        "{said}"
    );
    let refused = metric(&pair.ingests[0].metrics().await?, "kith_http_refused_total");
    ensure!(refused > 0.0, "nothing was ever too much");
    pair.stop().await
}

/// The blocks of a page that are in this language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let blocks = page.split(fence.as_str()).skip(1);
    blocks
        .filter_map(|rest| Some(rest.split_once("```")?.0))
        .collect()
}

fn page() -> Result<String> {
    Ok(std::fs::read_to_string(workspace().join("docs/cli.md"))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_shows_works_as_it_stands() -> Result<()> {
    let (pair, person) = standalone().await?;
    let page = page()?;
    let script = blocks(&page, "sh").join("\n");
    let csv = blocks(&page, "csv");
    ensure!(
        script.matches("kith ").count() >= 8 && csv.len() == 1,
        "{script}"
    );
    person.writes("people.csv", csv[0])?;
    let bin = binary("kith")?;
    let bin = bin.parent().context("a folder")?.to_owned();
    let path = std::env::var("PATH")?;
    let mut command = std::process::Command::new("sh");
    command
        .args(["-euc", &script])
        .current_dir(person.dir.path())
        .env("KITH_URL", pair.api().base())
        .env("PATH", format!("{}:{path}", bin.display()));
    for name in ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "KITH_STORE"] {
        command.env_remove(name);
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let did = Did::of(&output);
    ensure!(did.code == Some(0), "{did:?}");
    for shown in blocks(&page, "text") {
        for line in shown.lines().filter(|line| !line.contains('…')) {
            ensure!(
                did.out.contains(line) || did.err.contains(line),
                "{line}: {did:?}"
            );
        }
    }
    pair.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_has_every_command_and_every_flag() -> Result<()> {
    let page = page()?;
    let launch = Launch::new("kith")?;
    let dir = tempfile::tempdir()?;
    let person = Person { launch, dir };
    let mut commands = vec![vec!["store"], vec!["profile"], vec!["import"]];
    let mut leaves = Vec::new();
    let overview = person.gets(&["--help"]).await?;
    while let Some(command) = commands.pop() {
        ensure!(
            overview.contains(command[0]),
            "{command:?} is not in the overview"
        );
        let help = person
            .gets(&[command.as_slice(), &["--help"]].concat())
            .await?;
        let flags = help
            .split_whitespace()
            .filter(|word| word.starts_with("--"));
        for flag in flags.map(|word| word.trim_end_matches([',', '.', ']'])) {
            ensure!(
                page.contains(flag),
                "docs/cli.md lacks {flag} of {command:?}"
            );
        }
        let listed = help.split_once("Commands:\n").map(|(_, rest)| rest);
        let Some(listed) = listed else {
            leaves.push(command.join(" "));
            continue;
        };
        let listed = listed.split("\n\n").next().unwrap_or_default();
        for name in listed
            .lines()
            .filter_map(|line| line.split_whitespace().next())
        {
            if name != "help" {
                let name: &'static str = String::leak(name.to_owned());
                commands.push([command.as_slice(), &[name]].concat());
            }
        }
    }
    leaves.sort_unstable();
    let expected = [
        "import",
        "profile create",
        "profile delete",
        "profile explain",
        "profile get",
        "profile lookup",
        "store create",
    ];
    ensure!(leaves == expected, "{leaves:?}");
    for leaf in leaves {
        ensure!(
            page.contains(&format!("kith {leaf} ")),
            "docs/cli.md lacks {leaf}"
        );
    }
    Ok(())
}

/// Resident memory at the most, in bytes, while it runs.
fn peak(pid: u32) -> Option<u64> {
    let status =
        std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

#[expect(clippy::print_stdout, reason = "the figures of a run are its result")]
fn tell(line: &str) {
    println!("{line}");
}

/// `make import`. The figures are in `docs/testing.md`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes, and a release build: `make import`"]
async fn a_large_file() -> Result<()> {
    let count: usize =
        std::env::var("KITH_IMPORT_ROWS").map_or(Ok(100_000), |text| text.parse())?;
    let (pair, person) = standalone().await?;
    let mut text = String::from(
        "Contact.email,Contact.phone,Contact.firstName,Contact.lastName,Contact.city\n",
    );
    for number in 0..count {
        let phone = 1_000_000 + number;
        writeln!(
            text,
            "person.{number}@example.com,+1317{phone:07},First {number},Last {number},City {}",
            number % 500
        )?;
    }
    person.writes("large.csv", &text)?;
    for round in ["new", "known"] {
        let began = Instant::now();
        let mut import = person.starts(&["import", "large.csv"])?;
        let mut most = 0;
        let status = loop {
            most = most.max(peak(import.id()).unwrap_or_default());
            if let Some(status) = import.try_wait()? {
                break status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        ensure!(status.success(), "{status}");
        let seconds = began.elapsed().as_secs_f64();
        tell(&format!(
            "{count} {round} rows of {:.1} MB in {seconds:.1} s: {:.0} rows/s; import {} MiB at the most, kith {} MiB",
            text.len() as f64 / 1e6,
            count as f64 / seconds,
            most >> 20,
            pair.ingests[0].resident_bytes()? >> 20,
        ));
    }
    ensure!(pair.api().list().await?.len() == count);
    pair.stop().await
}

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use clap::Command;
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use super::table::*;
use super::*;

/// A binary that takes every setting there is.
fn everything() -> SettingSet {
    let mine: Vec<&'static Setting> = ALL.iter().copied().filter(|s| **s != CONFIG).collect();
    SettingSet::new("everything").take(&mine)
}

/// Files and an environment for a test. Variables are handed in, because those of the process belong to all tests.
struct Place {
    dir: TempDir,
    variables: BTreeMap<String, OsString>,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            variables: BTreeMap::new(),
        }
    }

    /// A place where every setting has a value that goes with the others, so that any one of them can be changed alone.
    fn complete() -> Self {
        let mut place = Self::new();
        for setting in ALL.iter().filter(|s| ***s != CONFIG) {
            let text = place.another_value(setting);
            place.set(setting, &text);
        }
        place
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn set(&mut self, setting: &Setting, text: &str) {
        self.variables.insert(setting.variable(), text.into());
    }

    fn unset(&mut self, setting: &Setting) {
        self.variables.remove(&setting.variable());
    }

    /// A value that is well formed and not the default. No arm for the rest: a new kind has to say.
    fn another_value(&self, setting: &Setting) -> String {
        match setting.kind {
            Kind::Address => "127.0.0.9:7999".to_owned(),
            Kind::HostPorts => "one.example:1,[::1]:65535".to_owned(),
            Kind::Url => "https://memory.example.com/base".to_owned(),
            Kind::Text => "something else".to_owned(),
            Kind::Path => self.dir.path().join("new").to_str().unwrap().to_owned(),
            Kind::File | Kind::SecretFile => self.file(setting.name, "content\n"),
            Kind::Choice(words) => (*words.last().unwrap()).to_owned(),
            Kind::Count(least, most) => (least + 10).min(most).to_string(),
            Kind::Duration(least, _) => format!("{}ms", least * 11),
            Kind::Bytes(least, _) => (least * 2).to_string(),
        }
    }

    /// Texts that are not values of the setting, and a part of what is said about each.
    fn malformed(&self, setting: &Setting) -> Vec<(String, &'static str)> {
        let own =
            |texts: &[&str], reason| texts.iter().map(|t| ((*t).to_owned(), reason)).collect();
        match setting.kind {
            Kind::Address => own(
                &["8080", "localhost:8080", "127.0.0.1", "127.0.0.1:65536"],
                "expected an address",
            ),
            Kind::HostPorts => own(
                &[
                    "host",
                    "host:0",
                    ":1",
                    "a:1,",
                    "a:1 b:2",
                    "http://a:1",
                    "::1:80",
                ],
                "expected host:port",
            ),
            Kind::Url => own(
                &[
                    "example.com",
                    "ftp://example.com",
                    "https://",
                    "http://a/?q=1",
                    "http://u:p@a/",
                ],
                "expected a URL",
            ),
            Kind::Text | Kind::Path => own(&[" "], "must not be empty"),
            Kind::File | Kind::SecretFile => {
                let missing = self.dir.path().join("missing").to_str().unwrap().to_owned();
                let directory = self.dir.path().to_str().unwrap().to_owned();
                vec![(missing, "No such file"), (directory, "is a directory")]
            }
            Kind::Choice(_) => own(&["something else", "-", "json,text"], "expected one of"),
            Kind::Count(least, most) => {
                let mut all: Vec<_> = own(
                    &["x", "-1", "1.5", "99999999999999999999"],
                    "expected a whole number",
                );
                all.push(((most + 1).to_string(), "expected a whole number"));
                if least > 0 {
                    all.push(((least - 1).to_string(), "expected a whole number"));
                }
                all
            }
            Kind::Duration(least, most) => {
                let mut all: Vec<_> = own(
                    &["5", "s", "1.s", "5 fortnights", "-1s", "1.1234567s"],
                    "expected a duration",
                );
                all.push((format!("{}ms", least - 1), "expected"));
                all.push((format!("{}ms", most + 1), "expected"));
                all
            }
            Kind::Bytes(least, most) => {
                let mut all: Vec<_> = own(&["x", "4Mib", "1.5MiB", "-1"], "expected bytes");
                all.push(((least - 1).to_string(), "expected"));
                all.push(((most + 1).to_string(), "expected"));
                all
            }
        }
    }

    fn load(&self, set: &SettingSet, arguments: &[&str]) -> Result<Settings, ConfigError> {
        let arguments = [&[set.settings()[0].name], arguments].concat();
        let matches = match set.parse(set.command(Command::new("test")), arguments) {
            Ok(matches) => matches,
            Err(Refused::Wrong(error)) => return Err(error),
            Err(Refused::Asked(text)) => panic!("asked for {text}"),
        };
        set.load_from(&matches, &|name| self.variables.get(name).cloned())
    }
}

/// As the file would hold it: some as the TOML type that a person would take.
fn toml_line(setting: &Setting, text: &str) -> String {
    match setting.kind {
        Kind::Count(..) => format!("{} = {text}\n", setting.name),
        Kind::HostPorts => {
            let parts: Vec<String> = text.split(',').map(|part| format!("{part:?}")).collect();
            format!("{} = [{}]\n", setting.name, parts.join(", "))
        }
        Kind::Address
        | Kind::Url
        | Kind::Text
        | Kind::Path
        | Kind::File
        | Kind::SecretFile
        | Kind::Choice(_)
        | Kind::Duration(..)
        | Kind::Bytes(..) => format!("{} = {text:?}\n", setting.name),
    }
}

fn source_of(settings: &Settings, setting: &Setting) -> Source {
    settings
        .describe()
        .find(|d| d.setting == setting)
        .unwrap()
        .source
}

#[test]
fn every_setting_comes_from_flag_variable_file_and_default_in_this_order() {
    let set = everything();
    for &setting in set.settings() {
        let mut place = Place::complete();
        let by_flag = place.another_value(setting);
        let expected = setting.kind.parse(&by_flag).unwrap();
        let file = place.file("kith.toml", &toml_line(setting, &by_flag));
        let (flag, config) = (setting.flag(), ["--config", &file]);

        // A variable and a file that would both be refused, if they were looked at.
        let malformed = place.malformed(setting)[0].0.clone();
        let bad_file = place.file("bad.toml", &format!("{} = {malformed:?}\n", setting.name));
        place.set(setting, &malformed);
        let settings = place
            .load(&set, &[&flag, &by_flag, "--config", &bad_file])
            .unwrap();
        assert_eq!(settings.text(setting), Some(expected.as_str()), "{flag}");
        assert_eq!(source_of(&settings, setting), Source::Flag, "{flag}");

        place.set(setting, &by_flag);
        let settings = place.load(&set, &["--config", &bad_file]).unwrap();
        assert_eq!(settings.text(setting), Some(expected.as_str()), "{flag}");
        assert_eq!(source_of(&settings, setting), Source::Variable, "{flag}");

        place.unset(setting);
        let settings = place.load(&set, &config).unwrap();
        assert_eq!(settings.text(setting), Some(expected.as_str()), "{flag}");
        assert_eq!(
            source_of(&settings, setting),
            Source::File(file.clone().into()),
            "{flag}"
        );

        // An empty variable is not set.
        place.set(setting, "");
        let settings = place.load(&set, &config).unwrap();
        assert_eq!(
            source_of(&settings, setting),
            Source::File(file.into()),
            "{flag}"
        );
    }
}

#[test]
fn every_default_is_a_value_of_its_setting_and_all_of_them_go_together() {
    let set = everything();
    let settings = Place::new().load(&set, &[]).unwrap();
    for &setting in set.settings() {
        assert_eq!(settings.text(setting), setting.default, "{}", setting.name);
        assert_eq!(
            source_of(&settings, setting),
            Source::Default,
            "{}",
            setting.name
        );
    }
}

#[test]
fn every_malformed_value_is_one_line_that_names_the_setting_and_where_it_came_from() {
    let set = everything();
    for &setting in set.settings() {
        let mut place = Place::complete();
        place.unset(setting);
        for (text, reason) in place.malformed(setting) {
            let (variable, flag) = (setting.variable(), setting.flag());
            let file = place.file("kith.toml", &format!("{} = {text:?}\n", setting.name));

            let by_flag = place.load(&set, &[&format!("{flag}={text}")]).unwrap_err();
            let by_file = place.load(&set, &["--config", &file]).unwrap_err();
            place.set(setting, &text);
            let by_variable = place.load(&set, &[]).unwrap_err();
            place.unset(setting);

            for (error, source) in [
                (by_flag, "flag".to_owned()),
                (by_variable, "environment".to_owned()),
                (by_file, format!("file {file}")),
            ] {
                assert_eq!(error.key, variable, "{error}");
                let line = error.to_string();
                assert!(
                    line.starts_with(&format!("{variable} ({source}): ")),
                    "{line}"
                );
                assert!(line.contains(reason), "{line}");
                assert!(!line.contains('\n'), "{line}");
            }
        }
    }
}

#[test]
fn every_setting_is_in_the_help_with_its_three_names() {
    let set = everything();
    let mut command = set.command(Command::new("test"));
    let help = command.render_help().to_string();
    for setting in ALL {
        assert!(help.contains(&setting.flag()), "{}", setting.name);
        assert!(
            help.contains(&format!("[env: {}]", setting.variable())),
            "{}",
            setting.name
        );
        if let Some(default) = setting.default {
            assert!(
                help.contains(&format!("[default: {default}]")),
                "{}",
                setting.name
            );
        }
    }
}

#[test]
fn every_setting_of_the_table_is_in_one_group_and_named_once() {
    let groups = [
        PROCESS,
        HTTP,
        WORKER,
        WORKER_PROCESS,
        EMBEDDED,
        CQL,
        KAFKA,
        KAFKA_TOPICS,
        KAFKA_CONSUMER,
    ];
    for setting in ALL {
        let times = groups
            .iter()
            .flat_map(|group| *group)
            .filter(|one| *one == setting)
            .count();
        assert_eq!(times, usize::from(**setting != CONFIG), "{}", setting.name);
        assert_eq!(
            ALL.iter().filter(|one| one.name == setting.name).count(),
            1,
            "{}",
            setting.name
        );
        let well_named = setting
            .name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(
            well_named && setting.help.ends_with('.'),
            "{}",
            setting.name
        );
    }
}

#[test]
fn names_are_one_name_in_three_spellings() {
    assert_eq!(CQL_NODES.name, "cql_nodes");
    assert_eq!(CQL_NODES.variable(), "KITH_CQL_NODES");
    assert_eq!(CQL_NODES.flag(), "--cql-nodes");
}

#[test]
fn what_a_binary_does_not_take_is_refused() {
    let standalone = SettingSet::new("kith").take(PROCESS).take(EMBEDDED);
    let mut place = Place::new();
    let error = place
        .load(&standalone, &["--cql-nodes", "a:1"])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "--cql-nodes: unknown argument: not a flag of kith"
    );

    let file = place.file("kith.toml", "data_dir = \"here\"\ncql_nodes = \"a:1\"\n");
    let error = place.load(&standalone, &["--config", &file]).unwrap_err();
    let expected = format!("cql_nodes (file {file}): unknown key: not a setting of kith");
    assert_eq!(error.to_string(), expected);

    // Variables are shared by all binaries of a machine, so those of others do not matter, well formed or not.
    place.set(&CQL_NODES, "?");
    assert_eq!(place.load(&standalone, &[]).unwrap().text(&CQL_NODES), None);
    let error = place
        .load(&standalone, &[])
        .unwrap()
        .get::<String>(&CQL_NODES)
        .unwrap_err();
    assert_eq!(error.key, "KITH_CQL_NODES");
}

#[test]
fn a_file_that_is_broken_or_not_there_is_refused() {
    let mut place = Place::new();
    let set = everything();
    let directory = place.dir.path().to_str().unwrap().to_owned();
    let missing = format!("{directory}/missing");
    for (path, reason) in [
        (missing, "No such file"),
        (directory, "Is a directory"),
        (place.file("a.toml", "listen = \n"), "a.toml, line 1: "),
        (
            place.file(
                "b.toml",
                "listen = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"\n",
            ),
            "b.toml, line 2: ",
        ),
        (place.file("c.toml", &"#".repeat(1 << 21)), "larger than"),
    ] {
        let by_flag = place
            .load(&set, &["--config", &path])
            .unwrap_err()
            .to_string();
        assert!(
            by_flag.starts_with("KITH_CONFIG (flag): ") && by_flag.contains(reason),
            "{by_flag}"
        );
        place.set(&CONFIG, &path);
        let by_variable = place.load(&set, &[]).unwrap_err().to_string();
        assert!(
            by_variable.starts_with("KITH_CONFIG (environment): "),
            "{by_variable}"
        );
        assert!(
            by_variable.contains(reason) && !by_variable.contains('\n'),
            "{by_variable}"
        );
        place.unset(&CONFIG);
    }
    for content in [
        "listen = 1.5",
        "listen = true",
        "listen = 2020-01-01",
        "[listen]\na = 1",
        "cql_nodes = [1]",
        "cql_nodes = [\"a:1,b:1\"]",
        "config = \"other\"",
    ] {
        let file = place.file("typed.toml", content);
        let error = place.load(&set, &["--config", &file]).unwrap_err();
        let key = content
            .trim_start_matches('[')
            .split([' ', ']'])
            .next()
            .unwrap();
        assert_eq!(error.key, key, "{error}");
    }
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStringExt as _;
    let mut place = Place::new();
    place
        .variables
        .insert(LISTEN.variable(), OsString::from_vec(vec![0xff]));
    let error = place.load(&everything(), &[]).unwrap_err();
    assert_eq!(error.to_string(), "KITH_LISTEN (environment): is not UTF-8");
}

#[test]
fn flags_may_stand_before_and_after_a_subcommand() {
    let set = everything();
    let command = set
        .command(Command::new("test"))
        .subcommand(Command::new("doctor"));
    for arguments in [
        ["test", "--log-partitions", "7", "doctor"],
        ["test", "doctor", "--log-partitions", "7"],
    ] {
        let matches = set.parse(command.clone(), arguments).unwrap();
        let settings = set.load_from(&matches, &|_| None).unwrap();
        assert_eq!(settings.get::<u32>(&LOG_PARTITIONS), Ok(7), "{arguments:?}");
        assert_eq!(matches.subcommand_name(), Some("doctor"));
    }
}

#[test]
fn a_wrong_command_line_is_one_line() {
    let set = everything();
    let command = set
        .command(Command::new("test"))
        .subcommand(Command::new("doctor"))
        .subcommand_required(true);
    for (arguments, expected) in [
        (
            &["test", "docter"][..],
            "docter: unknown command of everything",
        ),
        (
            &["test", "--listen"],
            "--listen: a value is required for '--listen <ADDRESS>' but none was supplied",
        ),
        (
            &[
                "test",
                "--listen",
                "127.0.0.1:1",
                "--listen",
                "127.0.0.1:2",
                "doctor",
            ],
            "--listen: the argument '--listen <ADDRESS>' cannot be used multiple times",
        ),
        (
            &["test", "doctor", "--nonsense"],
            "--nonsense: unknown argument: not a flag of everything",
        ),
    ] {
        let Err(Refused::Wrong(error)) = set.parse(command.clone(), arguments) else {
            panic!("{arguments:?} was taken");
        };
        assert_eq!(error.to_string(), expected);
    }
    for asked in ["--help", "help"] {
        let refused = set.parse(command.clone(), ["test", asked]).unwrap_err();
        assert!(matches!(refused, Refused::Asked(text) if text.contains("--listen")));
    }
}

#[test]
fn values_are_read_as_the_type_that_is_wanted() {
    let place = Place::new();
    let settings = place
        .load(
            &everything(),
            &[
                "--cql-nodes",
                "a:1, b:2",
                "--log-retention",
                "1.5d",
                "--public-url",
                "http://a:1/x/",
            ],
        )
        .unwrap();
    assert_eq!(
        settings.get(&LISTEN),
        Ok("127.0.0.1:8080".parse::<SocketAddr>().unwrap())
    );
    assert_eq!(
        settings.get(&REQUEST_DEADLINE),
        Ok(Duration::from_millis(2_500))
    );
    assert_eq!(
        settings.get(&LOG_RETENTION),
        Ok(Duration::from_secs(36 * 3_600))
    );
    assert_eq!(settings.get(&BODY_BYTES_MAX), Ok(ByteSize(4 << 20)));
    assert_eq!(settings.get(&KAFKA_TOPIC_PARTITIONS), Ok(24i32));
    assert_eq!(
        settings.get(&CQL_NODES),
        Ok(vec!["a:1".to_owned(), "b:2".to_owned()])
    );
    assert_eq!(settings.get(&PUBLIC_URL), Ok("http://a:1/x".to_owned()));
    assert_eq!(settings.get_opt::<String>(&CQL_LOCAL_DC), Ok(None));
    let error = settings.get::<String>(&CREDENTIALS).unwrap_err();
    assert_eq!(
        error.to_string(),
        "KITH_CREDENTIALS: is required, and has no default"
    );
    assert_eq!(settings.parse::<u8>(&LOG_PARTITIONS), Ok(4));
    let error = settings.parse::<u8>(&CQL_DIALECT).unwrap_err();
    assert_eq!(
        error.to_string(),
        "KITH_CQL_DIALECT: invalid digit found in string"
    );
    let error = settings.get::<u16>(&LISTEN).unwrap_err();
    assert_eq!(error.key, "KITH_LISTEN");
}

#[test]
fn durations_and_sizes_are_exact() {
    for (text, micros) in [
        ("1ms", 1_000),
        ("0.001ms", 1),
        ("0.1s", 100_000),
        ("2.5s", 2_500_000),
        ("1.5 h", 5_400_000_000),
    ] {
        assert_eq!(
            Duration::from_setting(text),
            Ok(Duration::from_micros(micros)),
            "{text}"
        );
    }
    for (text, bytes) in [
        ("7", 7),
        ("7B", 7),
        ("64KiB", 65_536),
        ("4MiB", 4 << 20),
        ("2GiB", 2 << 30),
        ("2KB", 2_000),
        ("2MB", 2_000_000),
        ("3GB", 3_000_000_000),
    ] {
        assert_eq!(ByteSize::from_setting(text), Ok(ByteSize(bytes)), "{text}");
    }
    for bytes in [0, 1, 1_023, 1 << 10, 3 << 20, 5 << 30, (1 << 30) + 1] {
        let text = ByteSize(bytes).to_string();
        assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
    }
    assert!(ByteSize::from_setting("99999999999999GiB").is_err());
    assert!(Duration::from_setting("99999999999999999d").is_err());
}

#[test]
fn words_are_taken_in_any_case_and_kept_in_one() {
    let place = Place::new();
    let settings = place
        .load(&everything(), &["--kafka-security-protocol", "plaintext"])
        .unwrap();
    assert_eq!(settings.text(&KAFKA_SECURITY_PROTOCOL), Some("PLAINTEXT"));
}

#[test]
fn a_binary_may_have_a_default_of_its_own() {
    let set = SettingSet::new("worker")
        .take_with_default(&ADMIN_LISTEN, "127.0.0.1:8082")
        .take(PROCESS);
    let place = Place::new();
    assert_eq!(
        place.load(&set, &[]).unwrap().text(&ADMIN_LISTEN),
        Some("127.0.0.1:8082")
    );
    let help = set
        .command(Command::new("worker"))
        .render_help()
        .to_string();
    assert!(help.contains("[default: 127.0.0.1:8082]"), "{help}");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let place = Place::new();
    let password = place.file("password", "hunter2\n");
    let set = everything();
    for (arguments, key) in [
        (&["--cql-username", "kith"][..], "KITH_CQL_PASSWORD_FILE"),
        (&["--cql-password-file", &password], "KITH_CQL_USERNAME"),
        (&["--cql-cert-file", &password], "KITH_CQL_KEY_FILE"),
        (&["--cql-key-file", &password], "KITH_CQL_CERT_FILE"),
        (
            &["--cql-cert-file", &password, "--cql-key-file", &password],
            "KITH_CQL_CA_FILE",
        ),
        (&["--rate-limit-burst", "9"], "KITH_RATE_LIMIT"),
        (
            &["--kafka-security-protocol", "SASL_SSL"],
            "KITH_KAFKA_SASL_MECHANISM",
        ),
        (
            &[
                "--kafka-security-protocol",
                "SASL_PLAINTEXT",
                "--kafka-sasl-mechanism",
                "PLAIN",
            ],
            "KITH_KAFKA_SASL_USERNAME",
        ),
        (
            &["--kafka-sasl-username", "kith"],
            "KITH_KAFKA_SASL_USERNAME",
        ),
        (&["--kafka-ca-file", &password], "KITH_KAFKA_CA_FILE"),
        (
            &[
                "--kafka-security-protocol",
                "SSL",
                "--kafka-cert-file",
                &password,
            ],
            "KITH_KAFKA_KEY_FILE",
        ),
        (&["--shutdown-grace", "2s"], "KITH_SHUTDOWN_GRACE"),
    ] {
        let error = place.load(&set, arguments).unwrap_err();
        assert_eq!(error.key, key, "{error}");
    }
}

#[test]
fn a_secret_is_read_from_its_file_and_shown_nowhere() {
    let place = Place::new();
    let set = everything();
    let path = place.file("password", "hunter2\r\n");
    let settings = place
        .load(
            &set,
            &["--cql-username", "kith", "--cql-password-file", &path],
        )
        .unwrap();
    let secret = settings.secret(&CQL_PASSWORD_FILE).unwrap().unwrap();
    assert_eq!(secret.expose_secret(), "hunter2");
    assert!(
        settings
            .secret(&KAFKA_SASL_PASSWORD_FILE)
            .unwrap()
            .is_none()
    );
    let described: Vec<Described> = settings.describe().collect();
    for shown in [
        format!("{settings:?}"),
        format!("{secret:?}"),
        format!("{described:?}"),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let of_file = described
        .iter()
        .find(|d| d.setting == &CQL_PASSWORD_FILE)
        .unwrap();
    assert_eq!(of_file.value.as_deref(), Some(path.as_str()));

    for content in ["", "\n"] {
        std::fs::write(&path, content).unwrap();
        let error = settings.secret(&CQL_PASSWORD_FILE).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("KITH_CQL_PASSWORD_FILE (flag): {path} is empty")
        );
    }
    std::fs::write(&path, "x".repeat(70_000)).unwrap();
    assert!(settings.secret(&CQL_PASSWORD_FILE).is_err());
    std::fs::remove_file(&path).unwrap();
    let error = settings.secret(&CQL_PASSWORD_FILE).unwrap_err().to_string();
    assert!(
        error.contains("cannot read") && !error.contains('\n'),
        "{error}"
    );
}

#[test]
fn doctor_sees_every_setting_with_its_source() {
    let place = Place::new();
    let set = everything();
    let file = place.file("kith.toml", "log_partitions = 3\n");
    let settings = place
        .load(&set, &["--config", &file, "--log-format", "text"])
        .unwrap();
    let described: Vec<Described> = settings.describe().collect();
    assert_eq!(described.len(), ALL.len());
    let of = |setting: &Setting| described.iter().find(|d| d.setting == setting).unwrap();
    assert_eq!(of(&CONFIG).value.as_deref(), Some(file.as_str()));
    assert_eq!(
        of(&LOG_PARTITIONS).source,
        Source::File(Path::new(&file).to_owned())
    );
    assert_eq!(of(&LOG_FORMAT).source, Source::Flag);
    assert_eq!(
        (
            of(&CREDENTIALS).value.clone(),
            of(&CREDENTIALS).source.clone()
        ),
        (None, Source::Default)
    );
}

#[test]
fn variables_that_look_like_settings_and_are_none_are_told() {
    let names = [
        "KITH_LISTEN",
        "KITH_LISTNE",
        "PATH",
        "KITH_PORT",
        "KITH_URL",
    ]
    .map(str::to_owned);
    let unknown = Settings::unknown_variables(names.into_iter());
    assert_eq!(unknown, ["KITH_LISTNE", "KITH_PORT"]);
}

#[test]
fn errors_are_one_line_whatever_is_in_them() {
    let error = ConfigError::new("KEY", "a\nb\tc\u{1b}[31m");
    assert_eq!(error.to_string(), "KEY: a b c [31m");
    let place = Place::new();
    let long = "x".repeat(10_000);
    let line = place
        .load(&everything(), &["--listen", &long])
        .unwrap_err()
        .to_string();
    assert!(line.len() < 200, "{line}");
}

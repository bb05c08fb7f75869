//! `healthcheck`, `depends_on`, `restart`, `deploy.restart_policy`.

use super::{cursor::Cursor, fields::Fields, process::texts};
use crate::{
    error::ProblemKind,
    keys,
    model::{DependsOn, DependsWhen, HealthPolicy, HealthTest, Healthcheck, RestartPolicy, RestartWhen},
    names::ServiceName,
    units::duration,
};
use std::{collections::BTreeMap, time::Duration};

const TEST: &str = "a command line, or a list beginning with CMD, CMD-SHELL or NONE";

/// What `test` says.
enum Test {
    None,
    Command(HealthTest),
}

pub(crate) fn healthcheck(cursor: Cursor<'_>) -> Option<HealthPolicy> {
    let fields = Fields::open(cursor, keys::HEALTHCHECK)?;
    let default = Healthcheck::default();
    let time = |key| fields.take(key).and_then(|time| time.convert(duration));
    let positive = |key, default: Duration| match time(key) {
        Some(Duration::ZERO) => {
            if let Some(cursor) = fields.take(key) {
                cursor.wrong("a time longer than 0", "leave it out for the default");
            }
            default
        }
        time => time.unwrap_or(default),
    };
    let check = Healthcheck {
        test: None,
        interval: positive("interval", default.interval),
        timeout: positive("timeout", default.timeout),
        retries: fields
            .take("retries")
            .and_then(|retries| retries.number(1..=1000))
            .unwrap_or(default.retries),
        start_period: time("start_period").unwrap_or(default.start_period),
        start_interval: positive("start_interval", default.start_interval),
    };
    let disable = fields.flag("disable").unwrap_or(false);
    let written = fields.take("test");
    let test = written.as_ref().and_then(test);
    if let (true, Some(written), Some(Test::Command(_))) = (disable, &written, &test) {
        written.clash("no test beside `disable: true`", "remove one of the two");
    }
    fields.finish();
    Some(match test {
        _ if disable => HealthPolicy::Disabled,
        Some(Test::None) => HealthPolicy::Disabled,
        Some(Test::Command(test)) => HealthPolicy::Check(Healthcheck {
            test: Some(test),
            ..check
        }),
        None => HealthPolicy::Check(check),
    })
}

fn test(cursor: &Cursor<'_>) -> Option<Test> {
    if cursor.is_text() {
        return Some(Test::Command(HealthTest::Shell(cursor.words(TEST)?)));
    }
    let mut words = texts(cursor, "an argument")?.into_iter();
    let test = match (words.next().as_deref(), words.collect::<Vec<String>>()) {
        (Some("NONE"), rest) if rest.is_empty() => Test::None,
        (Some("CMD"), rest) if !rest.is_empty() => Test::Command(HealthTest::Exec(rest)),
        (Some("CMD-SHELL"), rest) if rest.len() == 1 => {
            Test::Command(HealthTest::Shell(rest.into_iter().next()?))
        }
        _ => {
            cursor.wrong(TEST, "CMD-SHELL takes one line, CMD a program and its arguments");
            return None;
        }
    };
    Some(test)
}

pub(crate) fn depends_on<'r>(cursor: &Cursor<'r>) -> Option<Vec<(ServiceName, DependsOn, Cursor<'r>)>> {
    if !cursor.is_map() {
        let mut seen = BTreeMap::new();
        for item in cursor.list()? {
            let Some(name) = item.parse::<ServiceName>() else {
                continue;
            };
            if seen.insert(name, (DependsOn::default(), item.clone())).is_some() {
                let actual = format!("{} again", item.shown());
                item.report(ProblemKind::Duplicate, "each service once", actual, "remove one");
            }
        }
        return Some(seen.into_iter().map(|(name, (on, at))| (name, on, at)).collect());
    }
    let entries = cursor.named::<ServiceName>()?.into_iter();
    let read = |(name, at): (ServiceName, Cursor<'r>)| {
        let on = dependency(at.clone())?;
        Some((name, on, at))
    };
    Some(entries.filter_map(read).collect())
}

fn dependency(cursor: Cursor<'_>) -> Option<DependsOn> {
    let fields = Fields::open(cursor, keys::DEPENDS_ON)?;
    let conditions = [
        ("service_started", DependsWhen::Started),
        ("service_healthy", DependsWhen::Healthy),
        ("service_completed_successfully", DependsWhen::Completed),
    ];
    let when = fields
        .require("condition", "write `condition: service_started`")
        .and_then(|condition| condition.choice(&conditions));
    let restart = fields.flag("restart").unwrap_or(false);
    let required = fields.flag("required").unwrap_or(true);
    fields.finish();
    Some(DependsOn {
        when: when?,
        restart,
        required,
    })
}

pub(crate) fn restart(cursor: &Cursor<'_>) -> Option<RestartPolicy> {
    let expected = "\"no\", always, on-failure, on-failure:<attempts> or unless-stopped";
    let text = cursor.text(expected)?;
    let (when, max_attempts) = match text.split_once(':') {
        // Bare `no` is text in YAML 1.2; a file written for 1.1 may have turned it into false.
        None if text == "no" || text == "false" => (Some(RestartWhen::Never), None),
        None if text == "always" => (Some(RestartWhen::Always), None),
        None if text == "unless-stopped" => (Some(RestartWhen::UnlessStopped), None),
        None if text == "on-failure" => (Some(RestartWhen::OnFailure), None),
        Some(("on-failure", attempts)) => {
            let attempts = attempts.parse::<u32>().ok().filter(|attempts| *attempts > 0);
            (attempts.map(|_| RestartWhen::OnFailure), attempts)
        }
        _ => (None, None),
    };
    if when.is_none() {
        cursor.wrong(expected, "");
    }
    Some(RestartPolicy {
        when: when?,
        max_attempts,
        delay: None,
    })
}

pub(crate) fn restart_policy(cursor: Cursor<'_>) -> Option<RestartPolicy> {
    let fields = Fields::open(cursor, keys::RESTART_POLICY)?;
    let conditions = [
        ("none", RestartWhen::Never),
        ("on-failure", RestartWhen::OnFailure),
        ("any", RestartWhen::Always),
    ];
    let when = fields
        .take("condition")
        .map_or(Some(RestartWhen::Always), |condition| {
            condition.choice(&conditions)
        });
    let delay = fields.take("delay").and_then(|delay| delay.convert(duration));
    let max_attempts = fields
        .take("max_attempts")
        .and_then(|attempts| attempts.number(1..=u32::MAX));
    fields.finish();
    Some(RestartPolicy {
        when: when?,
        max_attempts,
        delay,
    })
}

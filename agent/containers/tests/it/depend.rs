//! Who waits for whom, and what happens when what they wait for fails.

use std::time::Duration;

use compose_file::{DependsOn, DependsWhen, HealthPolicy, HealthTest, Healthcheck, Service};
use container_runtime::{FailureKind, Health, RuntimeError};

use crate::lab::{Scene, exited, lines, one, project, service, until};

fn depends(service: &mut Service, on: &str, when: DependsWhen) {
    let edge = DependsOn {
        when,
        ..DependsOn::default()
    };
    service.depends_on.insert(on.parse().unwrap(), edge);
}

fn check(line: &str, retries: u32) -> HealthPolicy {
    HealthPolicy::Check(Healthcheck {
        test: Some(HealthTest::Shell(line.to_owned())),
        interval: Duration::from_millis(100),
        timeout: Duration::from_secs(2),
        retries,
        ..Healthcheck::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependent_starts_when_the_other_is_healthy_or_done() {
    let scene = Scene::new().await;
    let mut db = service("sleep 0.6; echo ok > /tmp/ready; cut -d ' ' -f 1 /proc/uptime; sleep 1000");
    db.healthcheck = check("test \"$(cat /tmp/ready)\" = ok", 100);
    let mut migrate = service("echo migrated");
    depends(&mut migrate, "db", DependsWhen::Healthy);
    let mut web = service("cut -d ' ' -f 1 /proc/uptime; sleep 1000");
    depends(&mut web, "migrate", DependsWhen::Completed);
    let running = scene
        .up(&project([("db", db), ("migrate", migrate), ("web", web)]))
        .await
        .unwrap();
    let all = running.containers();
    assert_eq!(one(&all, "db").health, Some(Health::Healthy));
    assert_eq!(one(&all, "migrate").exit_code, Some(0));
    let mut times = Vec::new();
    for service in ["db", "web"] {
        let deadline = std::time::Instant::now() + crate::lab::LIMIT;
        loop {
            assert!(std::time::Instant::now() < deadline);
            if let Some(line) = lines(&running, service).await.first() {
                times.push(line.trim().parse::<f64>().unwrap());
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert!(times[0] < times[1], "{times:?}");
    running.stop(Some(Duration::from_millis(100))).await.unwrap();
    scene.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_stops_what_waits_for_it_and_says_why() {
    let scene = Scene::new().await;
    let job = service("echo cannot reach the database >&2; exit 4");
    let mut web = service("sleep 1000");
    depends(&mut web, "job", DependsWhen::Completed);
    let mut more = service("sleep 1000");
    depends(&mut more, "web", DependsWhen::Started);
    let error = scene
        .up(&project([("job", job), ("more", more), ("web", web)]))
        .await
        .unwrap_err();
    let RuntimeError::Container(failure) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (failure.service.as_str(), &failure.how),
        ("job", &FailureKind::Exited { code: 4, oom: false })
    );
    assert_eq!(failure.last_lines, ["cannot reach the database"]);
    scene.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_fails_or_hangs_makes_a_container_unhealthy() {
    let scene = Scene::new().await;
    let mut sick = service("sleep 1000");
    sick.healthcheck = check("exit 1", 2);
    let mut web = service("sleep 1000");
    depends(&mut web, "sick", DependsWhen::Healthy);
    let error = scene
        .up(&project([("sick", sick), ("web", web)]))
        .await
        .unwrap_err();
    let RuntimeError::Container(failure) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (failure.service.as_str(), &failure.how),
        ("sick", &FailureKind::Unhealthy)
    );

    let mut hangs = service("sleep 1000");
    hangs.healthcheck = HealthPolicy::Check(Healthcheck {
        test: Some(HealthTest::Exec(vec!["sleep".to_owned(), "1000".to_owned()])),
        interval: Duration::from_millis(100),
        timeout: Duration::from_millis(300),
        retries: 1,
        ..Healthcheck::default()
    });
    let running = scene.up(&project([("hangs", hangs)])).await.unwrap();
    until(&running, "unhealthy", |all| {
        one(all, "hangs").health == Some(Health::Unhealthy)
    })
    .await;
    let pid = running.containers()[0].pid.unwrap();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    assert!(children.trim().is_empty(), "checks are left behind: {children}");
    running.stop(Some(Duration::from_millis(100))).await.unwrap();
    scene.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_is_a_failed_start() {
    let scene = Scene::new().await;
    let mut wrong = service("");
    wrong.command = Some(vec!["/no/such/program".to_owned()]);
    let error = scene.up(&project([("wrong", wrong)])).await.unwrap_err();
    let RuntimeError::Container(failure) = error else {
        panic!("{error:?}")
    };
    let FailureKind::NotStarted { reason } = &failure.how else {
        panic!("{failure:?}")
    };
    assert!(reason.contains("/no/such/program"), "{reason}");
    let fine = scene.up(&project([("wrong", service("exit 0"))])).await.unwrap();
    assert_eq!(exited(&fine, "wrong").await.exit_code, Some(0));
    drop(fine);
    scene.down().await;
}

//! What a container may do and use: its user, capabilities, filter, file system, limits.

use std::collections::BTreeMap;

use compose_file::{ByteSize, MilliCpus, Ulimit};

use crate::lab::{Scene, exited, lines, project, service};

#[tokio::test(flavor = "multi_thread")]
async fn environment_user_directory_and_names_are_as_asked() {
    let scene = Scene::new().await;
    let mut asked =
        service("env; id; pwd; hostname; cat /etc/hosts; ulimit -n; cat /proc/1/cmdline | tr '\\0' ' '");
    asked.environment = BTreeMap::from([
        ("ADDED".to_owned(), Some("a=b c".to_owned())),
        ("FROM_IMAGE".to_owned(), None),
    ]);
    asked.user = Some("app".parse().unwrap());
    asked.hostname = Some("box".parse().unwrap());
    asked
        .ulimits
        .insert("nofile".to_owned(), Ulimit { soft: 100, hard: 200 });
    let running = scene.up(&project([("asked", asked)])).await.unwrap();
    assert_eq!(exited(&running, "asked").await.exit_code, Some(0));
    let lines = lines(&running, "asked").await;
    let has = |wanted: &str| assert!(lines.iter().any(|line| line == wanted), "{wanted}: {lines:#?}");
    for wanted in [
        "ADDED=a=b c",
        "HOME=/home/app",
        "HOSTNAME=box",
        "/tmp",
        "box",
        "100",
    ] {
        has(wanted);
    }
    has("uid=1000(app) gid=1001(app) groups=50(extra),1001(app)");
    assert!(!lines.iter().any(|line| line.starts_with("FROM_IMAGE")));
    assert!(lines.iter().any(|line| line.ends_with("\tbox")), "{lines:#?}");
    drop(running);
    scene.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_dockers_unless_the_project_says_otherwise() {
    let scene = Scene::new().await;
    let script = "grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; mkdir /tmp/m; mount -t tmpfs none /tmp/m && echo mounted; \
                  touch /here && echo writable; ls /proc/kcore -la; echo 1 > /proc/sys/kernel/panic || echo kept";
    let mut tight = service(script);
    tight.cap_drop = vec!["ALL".parse().unwrap()];
    tight.cap_add = vec!["NET_BIND_SERVICE".parse().unwrap()];
    tight.read_only = true;
    tight.no_new_privileges = true;
    let mut wide =
        service("mount -t tmpfs none /mnt; mkdir -p /tmp/m; mount -t tmpfs none /tmp/m && echo mounted");
    wide.privileged = true;
    let running = scene
        .up(&project([
            ("plain", service(script)),
            ("tight", tight),
            ("wide", wide),
        ]))
        .await
        .unwrap();
    for service in ["plain", "tight", "wide"] {
        exited(&running, service).await;
    }
    let plain = lines(&running, "plain").await.join("\n");
    assert!(
        plain.contains("CapEff:\t00000000a80425fb") && plain.contains("Seccomp:\t2"),
        "{plain}"
    );
    assert!(
        plain.contains("NoNewPrivs:\t0") && plain.contains("writable"),
        "{plain}"
    );
    assert!(!plain.contains("mounted") && plain.contains("kept"), "{plain}");
    let tight = lines(&running, "tight").await.join("\n");
    assert!(
        tight.contains("CapEff:\t0000000000000400") && tight.contains("NoNewPrivs:\t1"),
        "{tight}"
    );
    assert!(!tight.contains("writable"), "{tight}");
    assert!(lines(&running, "wide").await.contains(&"mounted".to_owned()));
    drop(running);
    scene.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_over_its_memory_is_killed_and_said_to_be() {
    let scene = Scene::new().await;
    let mut greedy = service("head -c 200m /dev/zero | tail > /dev/null & wait $!; exec tail /dev/zero");
    greedy.limits.memory = Some("32m".parse::<ByteSize>().unwrap());
    let mut limited = service(
        "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids.max 2>/dev/null; df -k /dev/shm | tail -n 1",
    );
    limited.limits.cpus = Some("0.5".parse::<MilliCpus>().unwrap());
    limited.limits.pids = Some(17);
    limited.shm_size = Some("1m".parse::<ByteSize>().unwrap());
    let running = scene
        .up(&project([("greedy", greedy), ("limited", limited)]))
        .await
        .unwrap();
    let status = exited(&running, "greedy").await;
    assert_eq!((status.exit_code, status.out_of_memory), (Some(137), true));
    exited(&running, "limited").await;
    let lines = lines(&running, "limited").await;
    assert!(lines.iter().any(|line| line.starts_with("50000")), "{lines:?}");
    assert!(lines.iter().any(|line| line == "17"), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains(" 1024 ")), "{lines:?}");
    drop(running);
    scene.down().await;
}

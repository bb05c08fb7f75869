//! What a container sees of the host: volumes, host paths, memory, secrets.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use compose_file::{EnvFile, EnvFormat, FileMode, FileMount, FileSource, Mount, MountSource, Tmpfs};

use crate::lab::{Scene, exited, lines, project, service};

fn volume(name: Option<&str>, target: &str) -> Mount {
    let name = name.map(|name| name.parse().unwrap());
    let source = MountSource::Volume {
        name,
        no_copy: false,
        subpath: None,
    };
    Mount {
        source,
        target: target.to_owned(),
        read_only: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_starts_with_the_images_files_and_outlives_its_container() {
    let scene = Scene::new().await;
    let mut first = service("cat /data/seed; echo added > /data/more");
    first.mounts = vec![volume(Some("kept"), "/data")];
    let mut named = project([("first", first)]);
    named.volumes.insert("kept".parse().unwrap(), Default::default());
    let running = scene.up(&named).await.unwrap();
    assert_eq!(exited(&running, "first").await.exit_code, Some(0));
    assert_eq!(lines(&running, "first").await, ["from the image"]);
    drop(running);
    scene.runtime().await.down(false).await.unwrap();

    let mut second = service("cat /elsewhere/more; ls /elsewhere; echo x > /elsewhere/y || echo read-only");
    second.mounts = vec![Mount {
        read_only: true,
        ..volume(Some("kept"), "/elsewhere")
    }];
    named.services.clear();
    named.services.insert("second".parse().unwrap(), second);
    let running = scene.up(&named).await.unwrap();
    exited(&running, "second").await;
    let lines = lines(&running, "second").await;
    assert!(lines.len() > 2, "{lines:?}");
    assert_eq!(lines[..3], ["added", "more", "seed"]);
    assert!(lines.contains(&"read-only".to_owned()), "{lines:?}");
    drop(running);
    scene.down().await;
    assert!(!scene.config.data.join("volumes").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn host_paths_aliases_and_memory_are_mounted() {
    let mut scene = Scene::new().await;
    let socket = scene.folder.path().join("real.sock");
    std::fs::write(&socket, "the socket\n").unwrap();
    std::fs::create_dir(scene.folder.path().join("conf")).unwrap();
    std::fs::write(scene.folder.path().join("conf/app.ini"), "a = 1\n").unwrap();
    scene.config.path_aliases = BTreeMap::from([("/var/run/dstack.sock".into(), socket)]);
    let bind = |path: &str, target: &str| Mount {
        source: MountSource::Bind {
            path: path.to_owned(),
            create: true,
            recursive: true,
        },
        target: target.to_owned(),
        read_only: true,
    };
    let mut mounted = service("cat /run/s /conf/app.ini; stat -c %a /mem; df -k /mem | tail -n 1; ls /made");
    let tmpfs = Tmpfs {
        size: Some("2m".parse().unwrap()),
        mode: Some(FileMode(0o700)),
        ..Tmpfs::default()
    };
    mounted.mounts = vec![
        bind("/var/run/dstack.sock", "/run/s"),
        bind("./conf", "/conf"),
        bind("./made", "/made"),
        Mount {
            source: MountSource::Tmpfs(tmpfs),
            target: "/mem".to_owned(),
            read_only: false,
        },
    ];
    let running = scene.up(&project([("mounted", mounted)])).await.unwrap();
    assert_eq!(exited(&running, "mounted").await.exit_code, Some(0));
    let lines = lines(&running, "mounted").await;
    assert_eq!(lines[..3], ["the socket", "a = 1", "700"]);
    assert!(lines[3].contains(" 2048 "), "{lines:?}");
    drop(running);
    scene.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_have_their_owner_and_mode_and_are_not_on_the_data_disk() {
    let scene = Scene::new().await;
    let mut holder = service(
        "cat /run/secrets/key; stat -c '%u %g %a' /run/secrets/key; cat /etc/app; echo x > /etc/app || echo kept; sleep 1000",
    );
    let file = |source: &str, target: &str| FileMount {
        source: source.parse().unwrap(),
        target: target.to_owned(),
        uid: 1000,
        gid: 1001,
        mode: FileMode(0o400),
    };
    holder.secrets = vec![file("key", "/run/secrets/key")];
    holder.configs = vec![FileMount {
        source: "app".parse().unwrap(),
        target: "/etc/app".to_owned(),
        uid: 0,
        gid: 0,
        mode: FileMode(0o444),
    }];
    let mut all = project([("holder", holder)]);
    all.secrets.insert(
        "key".parse().unwrap(),
        FileSource::Content("hunter2-in-a-secret\n".to_owned()),
    );
    all.configs
        .insert("app".parse().unwrap(), FileSource::Content("config\n".to_owned()));
    let running = scene.up(&all).await.unwrap();
    let deadline = std::time::Instant::now() + crate::lab::LIMIT;
    loop {
        assert!(std::time::Instant::now() < deadline);
        let seen = lines(&running, "holder").await;
        if seen.contains(&"kept".to_owned()) {
            assert_eq!(seen[..3], ["hunter2-in-a-secret", "1000 1001 400", "config"]);
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let folder = scene.config.run.join("containers/lab-holder-1");
    assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    running
        .stop(Some(std::time::Duration::from_millis(100)))
        .await
        .unwrap();
    assert!(!folder.exists());
    scene.down().await;
}

fn inside(name: &str, subpath: &str) -> Mount {
    Mount {
        source: MountSource::Volume {
            name: Some(name.parse().unwrap()),
            no_copy: false,
            subpath: Some(subpath.to_owned()),
        },
        ..volume(Some(name), "/inner")
    }
}

fn bind(path: &str, target: &str) -> Mount {
    Mount {
        source: MountSource::Bind {
            path: path.to_owned(),
            create: true,
            recursive: true,
        },
        ..volume(None, target)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g14_no_container_is_led_to_files_of_the_guest_by_another() {
    let scene = Scene::new().await;
    let secret = scene.folder.path().join("guest");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("key"), "SECRET=stolen\n").unwrap();
    let to = secret.display();
    let mut thief = service(&format!(
        "ln -s {to} /data/conf; ln -s {to} /mine/b; ln -s {to} /mine/x"
    ));
    thief.mounts = vec![volume(Some("data"), "/data"), bind("./data", "/mine")];
    let mut all = project([("thief", thief)]);
    all.volumes.insert("data".parse().unwrap(), Default::default());
    let running = scene.up(&all).await.unwrap();
    assert_eq!(exited(&running, "thief").await.exit_code, Some(0));
    drop(running);
    assert!(
        scene.folder.path().join("data/b/key").exists(),
        "the links are there"
    );

    let look = "cat /inner/key; echo ${SECRET:-none}";
    let with = |mounts: Vec<Mount>| {
        let mut victim = service(look);
        victim.mounts = mounts;
        victim
    };
    let mut variables = with(vec![]);
    variables.env_file = vec![EnvFile {
        path: "data/x/key".to_owned(),
        required: true,
        format: EnvFormat::Compose,
    }];
    let cases = [
        ("subpath", with(vec![inside("data", "conf")])),
        ("deeper", with(vec![inside("data", "conf/new")])),
        ("bind", with(vec![bind("./data/b", "/inner")])),
        ("missing", with(vec![bind("./data/b/new", "/inner")])),
        ("variables", variables),
    ];
    for (name, victim) in cases {
        all.services.clear();
        all.services.insert("victim".parse().unwrap(), victim);
        let error = scene.up(&all).await.unwrap_err();
        let text = format!("{error} {:?}", error);
        assert!(text.contains("expected no link on the way"), "{name}: {text}");
    }
    assert!(!secret.join("new").exists());
    // A folder of its own in the same volume is mounted as before.
    let mut honest = service("echo kept > /inner/file; cat /inner/file");
    honest.mounts = vec![inside("data", "own/deep"), bind("./fresh/deep", "/mine")];
    all.services.clear();
    all.services.insert("honest".parse().unwrap(), honest);
    let running = scene.up(&all).await.unwrap();
    assert_eq!(exited(&running, "honest").await.exit_code, Some(0));
    assert_eq!(lines(&running, "honest").await, ["kept"]);
    assert!(scene.folder.path().join("fresh/deep").is_dir());
    drop(running);
    scene.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g14_names_of_the_guest_cannot_be_filled_by_a_container() {
    let scene = Scene::new().await;
    let script = "for file in hosts hostname resolv.conf; do (echo x >> /etc/$file) 2> /dev/null && echo $file; done; grep -c . /etc/hosts";
    let running = scene.up(&project([("one", service(script))])).await.unwrap();
    assert_eq!(exited(&running, "one").await.exit_code, Some(0));
    let seen = lines(&running, "one").await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(
        seen[0].parse::<u32>().unwrap() > 1,
        "its own name is in it: {seen:?}"
    );
    drop(running);
    scene.down().await;
}

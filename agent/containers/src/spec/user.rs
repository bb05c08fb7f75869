//! Which user a container runs as: `user` of the service or image, looked up in the container's own passwd and group files.
//! Lines that are too long or malformed are skipped, as libc does; a name that is in neither file is refused.

/// Largest passwd or group file that is read.
pub(crate) const MAX_FILE: u64 = 1024 * 1024;
const MAX_GROUPS: usize = 1024;

/// A resolved user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResolvedUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    /// Home directory, when the passwd file names one.
    pub(crate) home: Option<String>,
}

/// Why a user is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UserError {
    #[error("user {0:?} is not in the image's /etc/passwd")]
    User(String),
    #[error("group {0:?} is not in the image's /etc/group")]
    Group(String),
}

struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Resolves `user[:group]`, names or numbers; empty is root.
pub(crate) fn resolve(
    user: &str,
    added: &[String],
    passwd: &str,
    group: &str,
) -> Result<ResolvedUser, UserError> {
    let (name, group_name) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let number = name.parse::<u32>().ok();
    // A name wins over a number, as in Docker: an account may be called "1000".
    let entry = passwd_lines(passwd)
        .find(|entry| entry.name == name)
        .or_else(|| number.and_then(|uid| passwd_lines(passwd).find(|entry| entry.uid == uid)));
    let uid = match (&entry, number) {
        (Some(entry), _) => entry.uid,
        (None, Some(uid)) => uid,
        (None, None) => return Err(UserError::User(name.to_owned())),
    };
    let gid = match group_name {
        Some(group_name) => group_id(group_name, group)?,
        None => entry.as_ref().map_or(0, |entry| entry.gid),
    };
    let mut groups = Vec::new();
    // Naming a group takes the place of the account's groups.
    if let (Some(entry), None) = (&entry, group_name) {
        let of = group_lines(group).filter(|one| one.members.split(',').any(|member| member == entry.name));
        groups.extend(of.map(|one| one.gid));
    }
    for name in added {
        groups.push(group_id(name, group)?);
    }
    groups.sort_unstable();
    groups.dedup();
    groups.truncate(MAX_GROUPS);
    let home = entry
        .map(|entry| entry.home.to_owned())
        .filter(|home| home.starts_with('/'));
    Ok(ResolvedUser {
        uid,
        gid,
        groups,
        home,
    })
}

fn group_id(name: &str, group: &str) -> Result<u32, UserError> {
    let found = group_lines(group).find(|one| one.name == name).map(|one| one.gid);
    found
        .or_else(|| name.parse().ok())
        .ok_or_else(|| UserError::Group(name.to_owned()))
}

fn passwd_lines(text: &str) -> impl Iterator<Item = Passwd<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or("");
        Some(Passwd { name, uid, gid, home })
    })
}

fn group_lines(text: &str) -> impl Iterator<Item = Group<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = fields.nth(1)?.parse().ok()?;
        let members = fields.next().unwrap_or("");
        Some(Group { name, gid, members })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nbroken\n77:x:5:6::/:\n";
    const GROUP: &str = "root:x:0:\napp:x:1001:\nwheel:x:10:root,app\nbad:x:y:\naudio:x:63:app\n";

    fn user(text: &str) -> Result<ResolvedUser, UserError> {
        resolve(text, &[], PASSWD, GROUP)
    }

    #[test]
    fn names_numbers_and_groups() {
        let app = user("app").unwrap();
        assert_eq!(
            (app.uid, app.gid, app.groups.as_slice()),
            (1000, 1001, [10, 63].as_slice())
        );
        assert_eq!(app.home.as_deref(), Some("/home/app"));
        assert_eq!(user("1000").unwrap(), app);
        assert_eq!((user("").unwrap().uid, user("").unwrap().gid), (0, 0));
        assert_eq!(user("77").unwrap().uid, 5);
        let other = user("4242:wheel").unwrap();
        assert_eq!((other.uid, other.gid, other.groups.len()), (4242, 10, 0));
        assert_eq!(user("nobody"), Err(UserError::User("nobody".to_owned())));
        assert_eq!(user("app:none"), Err(UserError::Group("none".to_owned())));
        assert_eq!(
            resolve("app", &["7".to_owned()], PASSWD, GROUP).unwrap().groups,
            [7, 10, 63]
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(user in ".{0,20}", passwd in ".{0,200}", group in ".{0,200}") {
            let _ = resolve(&user, &[], &passwd, &group);
        }
    }
}

//! The cluster that a restore begins, and which of its members this host is: the options of
//! etcdutl, with its defaults where they fit.

use jiff::Timestamp;

use crate::datadir::{Member, Membership, PeerUrl};
use crate::error::{Error, Refusal};

/// The member as the operator describes it.
#[derive(Debug, Clone, Default)]
pub struct Seat {
    /// Its name.
    pub name: String,
    /// All members, as `--initial-cluster` takes them; this one alone where it is not given.
    pub initial_cluster: Option<String>,
    /// What sets the new cluster apart from the old one; a fresh one where it is not given.
    pub token: Option<String>,
    /// Where the peers of this one reach it, by commas; as `initial_cluster` says where it is not given.
    pub advertised: Option<String>,
}

/// Where a member is reached of which nothing is said, as with etcdutl.
const DEFAULT_URL: &str = "http://localhost:2380";

impl Seat {
    /// The cluster and this member of it.
    pub(super) fn take(&self, now: Timestamp) -> Result<(Membership, Member), Error> {
        let alone = || {
            let urls = self.advertised.as_deref().unwrap_or(DEFAULT_URL).split(',');
            let parts: Vec<String> = urls.map(|url| format!("{}={url}", self.name)).collect();
            parts.join(",")
        };
        let cluster = self.initial_cluster.clone().unwrap_or_else(alone);
        let fresh = fresh_token(now);
        let token = self.token.as_deref().unwrap_or(&fresh);
        let membership = Membership::parse(&cluster, token)?;
        let member = membership.member(&self.name)?.clone();
        if let Some(advertised) = &self.advertised {
            let advertised = PeerUrl::parse_list(advertised)?;
            if advertised != member.peer_urls {
                return Err(Refusal::Advertised {
                    name: self.name.clone(),
                    advertised: listed(&advertised),
                    expected: listed(&member.peer_urls),
                }
                .into());
            }
        }
        Ok((membership, member))
    }

    /// What several members have to be told alike, and were not.
    pub(super) fn require_agreement(
        &self,
        membership: &Membership,
        reckoned: Option<u64>,
    ) -> Result<(), Refusal> {
        let members = membership.members().len();
        if members == 1 || (self.token.is_some() && reckoned.is_none()) {
            return Ok(());
        }
        let token = (self.token.is_none())
            .then(|| format!("--initial-cluster-token {}", membership.token()));
        let bump = reckoned.map(|by| format!("--bump-revision {by} --mark-compacted"));
        Err(Refusal::Apart {
            members,
            what: match (&token, &bump) {
                (Some(_), Some(_)) => "token and bump",
                (Some(_), None) => "token",
                (None, _) => "bump",
            },
            options: token.into_iter().chain(bump).collect::<Vec<_>>().join(" "),
        })
    }
}

fn listed(urls: &[PeerUrl]) -> String {
    let urls: Vec<&str> = urls.iter().map(PeerUrl::as_str).collect();
    urls.join(",")
}

/// A token that no other restore has: with the old cluster's, a member of it that still runs could
/// join the new one.
fn fresh_token(now: Timestamp) -> String {
    format!("etcd-{}", now.strftime("%Y%m%dT%H%M%S.%9fZ"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_763_800_000 + seconds).unwrap()
    }

    fn seat(name: &str) -> Seat {
        Seat {
            name: name.into(),
            ..Seat::default()
        }
    }

    #[test]
    fn a_member_of_which_nothing_is_said_is_the_one_that_etcdutl_makes() {
        let (membership, member) = seat("default").take(at(0)).unwrap();
        assert_eq!(membership.to_string(), "default=http://localhost:2380");
        assert_eq!(member.name, "default");
        let (other, _) = seat("default").take(at(1)).unwrap();
        assert_ne!(membership.cluster_id(), other.cluster_id());
    }

    #[test]
    fn what_is_not_said_follows_from_what_is() {
        let alone = Seat {
            advertised: Some("https://10.0.0.1:2380,https://h:2380".into()),
            ..seat("m1")
        };
        let (membership, _) = alone.take(at(0)).unwrap();
        assert_eq!(
            membership.to_string(),
            "m1=https://10.0.0.1:2380,m1=https://h:2380"
        );
        let one_of_two = Seat {
            initial_cluster: Some("m1=https://a:1,m2=https://b:1".into()),
            token: Some("t".into()),
            ..seat("m2")
        };
        let (_, member) = one_of_two.take(at(0)).unwrap();
        assert_eq!(listed(&member.peer_urls), "https://b:1");
    }

    #[test]
    fn members_that_would_not_find_each_other_are_refused() {
        let mut trio = Seat {
            initial_cluster: Some("m1=https://a:1,m2=https://b:1,m3=https://c:1".into()),
            advertised: Some("https://b:1".into()),
            ..seat("m1")
        };
        let refused = trio.take(at(0)).unwrap_err();
        assert!(matches!(
            refused,
            Error::Refused(Refusal::Advertised { .. })
        ));
        trio.advertised = None;
        let (membership, _) = trio.take(at(0)).unwrap();
        let options = |seat: &Seat, reckoned| match seat.require_agreement(&membership, reckoned) {
            Err(Refusal::Apart { options, .. }) => options,
            other => panic!("{other:?}"),
        };
        let token = format!("--initial-cluster-token {}", membership.token());
        assert_eq!(options(&trio, None), token);
        let both = format!("{token} --bump-revision 7 --mark-compacted");
        assert_eq!(options(&trio, Some(7)), both);
        trio.token = Some("t".into());
        assert_eq!(
            options(&trio, Some(7)),
            "--bump-revision 7 --mark-compacted"
        );
        assert!(trio.require_agreement(&membership, None).is_ok());
    }
}

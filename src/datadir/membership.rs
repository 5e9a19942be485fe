//! The members that the new cluster begins with, and the ids that etcd gives them.
//!
//! The text and the rules are those of `--initial-cluster` (etcd `client/pkg/types/urlsmap.go`,
//! `server/etcdserver/api/membership/member.go`), but for URLs that no member could be reached at.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Serialize, Serializer};
use sha1::{Digest as _, Sha1};

use super::Error;

/// The id of a member or a cluster; lower-case hex in text and JSON, as etcdctl prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u64);

impl Id {
    /// The first eight bytes of the digest of these.
    fn of(bytes: &[u8]) -> Self {
        let digest: [u8; 20] = Sha1::digest(bytes).into();
        let first = digest.first_chunk::<8>().copied().unwrap_or_default();
        Id(u64::from_be_bytes(first))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where a member's peers reach it: `https://10.0.0.1:2380`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PeerUrl(String);

impl PeerUrl {
    /// Reads a URL: a scheme that etcd knows, a host and a port, nothing else.
    ///
    /// # Errors
    /// [`Error::PeerUrl`], with what is wrong.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |why| Error::PeerUrl {
            url: text.to_owned(),
            why,
        };
        let text = text.trim();
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("it has no scheme such as https://"))?;
        let scheme = scheme.to_ascii_lowercase();
        if !["http", "https", "unix", "unixs"].contains(&scheme.as_str()) {
            return Err(wrong("its scheme must be http, https, unix or unixs"));
        }
        if rest.contains('/') {
            return Err(wrong("it must not have a path"));
        }
        let (host, port) = rest
            .rsplit_once(':')
            .ok_or_else(|| wrong("it does not have the form host:port"))?;
        if !is_host(host) {
            return Err(wrong(
                "its host must be a name, an IPv4 address, or an IPv6 address in brackets",
            ));
        }
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || port.parse::<u16>().map_or(true, |port| port == 0) {
            return Err(wrong("its port must be a number from 1 to 65535"));
        }
        Ok(PeerUrl(format!("{scheme}://{rest}")))
    }

    /// Reads several, between commas, in the order that etcd keeps them in.
    ///
    /// # Errors
    /// [`Error::PeerUrl`] for the first that is wrong.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Error> {
        let mut urls: Vec<_> = text.split(',').map(Self::parse).collect::<Result<_, _>>()?;
        urls.sort();
        Ok(urls)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PeerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Characters that need no escape in a URL, so that every version of etcd writes the same text.
fn is_host(host: &str) -> bool {
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Some(address) = in_brackets {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !host.is_empty() && host.bytes().all(is_plain)
}

/// A member of the new cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<PeerUrl>,
}

/// The members of the new cluster, by their ids, and its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    token: String,
    members: Vec<Member>,
}

impl Membership {
    /// Reads `name=url,name=url`; a name that comes again has one more URL.
    ///
    /// # Errors
    /// [`Error::Membership`] or [`Error::PeerUrl`], with the part that is wrong.
    pub fn parse(initial_cluster: &str, token: &str) -> Result<Self, Error> {
        let wrong = |part: &str, why| Error::Membership {
            part: part.to_owned(),
            why,
        };
        let mut urls: BTreeMap<&str, Vec<PeerUrl>> = BTreeMap::new();
        for part in initial_cluster.split(',').filter(|part| !part.is_empty()) {
            let (name, url) = part
                .split_once('=')
                .ok_or_else(|| wrong(part, "it is not NAME=URL"))?;
            if name.trim().is_empty() || name.chars().any(char::is_control) {
                return Err(wrong(part, "its name is not one"));
            }
            urls.entry(name).or_default().push(PeerUrl::parse(url)?);
        }
        if urls.is_empty() {
            return Err(wrong(initial_cluster, "it names no member"));
        }
        let mut known = BTreeSet::new();
        let members = urls.into_iter().map(|(name, mut urls)| {
            urls.sort();
            for url in &urls {
                if !known.insert(url.clone()) {
                    return Err(wrong(url.as_str(), "it is named twice"));
                }
            }
            Ok(Member::new(name, urls, token))
        });
        let mut members: Vec<_> = members.collect::<Result<_, _>>()?;
        members.sort_by_key(|member| member.id);
        Ok(Membership {
            token: token.to_owned(),
            members,
        })
    }

    /// The members, by their ids.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member of this name.
    ///
    /// # Errors
    /// [`Error::NotAMember`] where there is none.
    pub fn member(&self, name: &str) -> Result<&Member, Error> {
        let found = self.members.iter().find(|member| member.name == name);
        found.ok_or_else(|| Error::NotAMember {
            name: name.to_owned(),
            members: self.members.iter().map(|each| each.name.clone()).collect(),
        })
    }

    /// The cluster's id, which follows from the members' ids.
    #[must_use]
    pub fn cluster_id(&self) -> Id {
        let ids = self.members.iter().map(|member| member.id.0.to_be_bytes());
        Id::of(&ids.collect::<Vec<_>>().concat())
    }

    /// What sets the cluster apart from another with the same URLs.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl Member {
    pub(super) fn stored(&self) -> Stored<'_> {
        Stored {
            id: self.id.0,
            peer_urls: &self.peer_urls,
            name: &self.name,
        }
    }

    fn new(name: &str, peer_urls: Vec<PeerUrl>, token: &str) -> Self {
        let urls = peer_urls.iter().map(PeerUrl::as_str);
        let identity: String = urls.chain([token]).collect();
        Member {
            id: Id::of(identity.as_bytes()),
            name: name.to_owned(),
            peer_urls,
        }
    }
}

/// A member as the database and the log hold it, in the order of Go's fields.
#[derive(Serialize)]
pub(super) struct Stored<'m> {
    id: u64,
    #[serde(rename = "peerURLs")]
    peer_urls: &'m [PeerUrl],
    name: &'m str,
}

impl fmt::Display for Membership {
    /// As `--initial-cluster` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for member in &self.members {
            for url in &member.peer_urls {
                write!(f, "{separator}{}={url}", member.name)?;
                separator = ",";
            }
        }
        Ok(())
    }
}

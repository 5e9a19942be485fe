//! Which image the pod runs: from what the operator says and what the node runs.

use std::path::PathBuf;

use super::Error;
use crate::kubeadm::{Image, Version};

/// Why nobody knows which image the etcd of the node runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// There is no manifest of a member.
    #[error("there is no {}", .0.display())]
    NoManifest(PathBuf),
    /// The manifest of the API server names members that run elsewhere.
    #[error("the etcd of this cluster runs elsewhere, as {} says", .0.display())]
    Elsewhere(PathBuf),
}

/// What is known of the etcd image that is wanted.
#[derive(Debug, Clone)]
pub struct ImageChoice<'a> {
    /// The image that the etcd of the node runs.
    pub found: Result<&'a Image, Unknown>,
    /// This image and no other.
    pub image: Option<&'a str>,
    /// The registry that mirrors the image, put before its whole name.
    pub registry: Option<&'a str>,
    /// Another tag; of an image without one, the etcd in it.
    pub version: Option<&'a str>,
}

/// An image with etcdctl in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdImage {
    /// What the pod names.
    pub image: Image,
    /// The etcd in it; `None`: nothing says so.
    pub version: Option<Version>,
}

impl EtcdImage {
    /// Whether its etcdctl may be one that speaks the old API by itself, and makes files that everybody
    /// can read: what nobody knows may be old.
    pub(super) fn may_be_older_than_3_4(&self) -> bool {
        self.version.is_none_or(|version| version.minor < 4)
    }
}

impl ImageChoice<'_> {
    /// The image to run.
    ///
    /// # Errors
    /// When there is none, or a part of it cannot be right.
    pub fn choose(&self) -> Result<EtcdImage, Error> {
        let given = self.version.map(version).transpose()?;
        let image = match (self.image, &self.found) {
            (Some(text), _) => Image::parse(text)?,
            (None, Ok(found)) => self.derived(found)?,
            (None, Err(unknown)) => return Err(Error::NoImage(unknown.clone())),
        };
        // its own tag is what it is, whatever somebody says
        let own = image.version();
        if let (Some(own), Some(given)) = (own, given)
            && own != given
        {
            return Err(Error::Contradiction {
                image: image.to_string(),
                given,
            });
        }
        match own.or(given) {
            Some(version) if !is_supported(version) => Err(Error::OldVersion {
                image: image.to_string(),
            }),
            version => Ok(EtcdImage { image, version }),
        }
    }

    fn derived(&self, found: &Image) -> Result<Image, Error> {
        let mut image = found.clone();
        if let Some(tag) = self.version {
            image.tag = Some(tag.to_owned());
            // it is the digest of another version
            image.digest = None;
        }
        match self.registry {
            Some(registry) => mirrored(registry, &image),
            None => Ok(image),
        }
    }
}

/// A tag that says which etcd it is.
fn version(tag: &str) -> Result<Version, Error> {
    let refused = |reason| Error::Version {
        text: tag.to_owned(),
        reason,
    };
    let version = Version::of_tag(tag).ok_or(refused("it is no version of three numbers"))?;
    // a tag has fewer letters than a version
    if Image::parse(&format!("etcd:{tag}")).is_err() {
        return Err(refused("it is no tag of an image"));
    }
    if is_supported(version) {
        Ok(version)
    } else {
        Err(refused(
            "only 3.3 and newer releases of etcd 3 are supported",
        ))
    }
}

fn is_supported(version: Version) -> bool {
    version.major == 3 && version.minor >= 3
}

/// The image behind a registry that mirrors it, whose name stays whole.
fn mirrored(registry: &str, image: &Image) -> Result<Image, Error> {
    let refused = |reason, meant: &str| Error::Registry {
        text: registry.to_owned(),
        reason,
        meant: (!meant.is_empty()).then(|| meant.to_owned()),
    };
    if let Some((_, rest)) = registry.split_once("://") {
        return Err(refused(
            "a scheme does not belong to it",
            rest.trim_end_matches('/'),
        ));
    }
    let prefix = registry.trim_end_matches('/');
    let name = image.to_string();
    if name.starts_with(&format!("{prefix}/")) {
        return Ok(image.clone());
    }
    match Image::parse(&format!("{prefix}/{name}")) {
        Ok(mirrored) if mirrored.registry.is_some() => Ok(mirrored),
        Ok(_) => Err(refused(
            "without a dot or a port it would be taken for a repository of Docker Hub",
            &prefix.split_once('/').map_or_else(
                || format!("{prefix}:5000"),
                |(host, path)| format!("{host}:5000/{path}"),
            ),
        )),
        Err(_) if Image::parse(&format!("{prefix}/etcd")).is_ok() => Err(Error::Unmirrored {
            registry: prefix.to_owned(),
            image: name,
        }),
        Err(_) => Err(refused(
            "it is no host[:port][/path] in lower-case letters",
            "",
        )),
    }
}

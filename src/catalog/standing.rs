//! What a backup is worth: the questions that everybody asks of a manifest, and of its summary.

use jiff::Timestamp;

use super::manifest::{Manifest, Outcome, Reproof};
use super::summary::Summary;

/// The same questions to both; each has the fields that answer them.
macro_rules! standing {
    ($($type:ty),+) => {$(
        impl $type {
            /// Whether the cluster could be restored from it to what it should be, by all that is
            /// known.
            #[must_use]
            pub fn is_good(&self) -> bool {
                self.is_sound() && !self.is_suspect()
            }

            /// Whether the snapshot was proven when it was made, and was not found altered since.
            #[must_use]
            pub fn is_sound(&self) -> bool {
                self.verified && self.decay().is_none()
            }

            /// Whether it is unlike what was there before, and nobody has said that this is meant.
            #[must_use]
            pub fn is_suspect(&self) -> bool {
                !self.suspicions.is_empty() && self.accepted.is_none()
            }

            /// Whether it keeps anything from being pruned: it is suspect, and nobody has decided
            /// yet.
            #[must_use]
            pub fn is_held(&self) -> bool {
                self.is_suspect() && self.released.is_none()
            }

            /// The proof that it no longer stands up to, though it did when it was made.
            #[must_use]
            pub fn decay(&self) -> Option<&Reproof> {
                let last = self.last_verified.as_ref();
                last.filter(|last| last.result == Outcome::Failed)
            }

            /// When its bytes were last looked at, as far as that was before now; a proof from the
            /// future says nothing.
            #[must_use]
            pub fn last_proven(&self, now: Timestamp) -> Option<Timestamp> {
                let again = self.last_verified.as_ref().map(|last| last.at);
                let proofs = again.into_iter().chain([self.finished]);
                proofs.into_iter().find(|at| *at <= now)
            }
        }
    )+};
}

standing!(Manifest, Summary);

//! Room on the mirror: which copies go, and what is said when none may.

use std::time::Duration;

use super::desk::Desk;
use super::errand::Errand;
use super::plan::{Wanted, let_go};
use crate::index::IndexError;
use crate::model::{Timestamp, VolumeId};

/// How often it is looked whether copies are to go.
const RETAIN: Duration = Duration::from_secs(5);
/// How long no room is looked for after none was found.
const FULL: Duration = Duration::from_secs(30);
/// Copies that are looked at in one go when some are to go.
const PAGE: u32 = 256;
/// How many such pages are looked through, when all of them have to stay.
const PAGES: u32 = 40;

impl Desk {
    /// Lets copies go: those that are too old or too many, or that are in the way of something newer.
    pub(super) async fn retain(&mut self, wanted: Option<Wanted>) -> Option<Errand> {
        let instant = self.instant();
        let cutoff = self.cutoff();
        let volume = self.keeper.volume()?.id();
        if wanted.is_none() {
            if instant < self.retain_at {
                return None;
            }
            self.retain_at = instant.plus(RETAIN);
            let is_old = self.held.oldest.is_some_and(|oldest| oldest <= cutoff);
            if !is_old && self.setting.rules.excess(self.room()) == 0 {
                return None;
            }
        }
        match self.let_some_go(volume, cutoff, wanted).await {
            Ok(paths) if paths.is_empty() => {
                if wanted.is_some() || self.setting.rules.excess(self.room()) > 0 {
                    self.full_until = Some(instant.plus(FULL));
                    let reason = "no room is left on it, and what it holds may not go: it is read, held as evidence, or the \
                                  last copy; give it a larger disk, or raise max_gb";
                    let told = self.standing.miss(self.now(), reason);
                    self.tell(told);
                }
                None
            }
            Ok(paths) => {
                self.retain_at = instant;
                Some(Errand::Remove(paths))
            }
            Err(error) => {
                tracing::warn!(%error, "copies on the mirror could not be let go; it is tried again");
                self.full_until = Some(instant.plus(FULL));
                None
            }
        }
    }

    /// Forgets what goes, and gives the paths of its files.
    async fn let_some_go(
        &mut self,
        volume: VolumeId,
        cutoff: Timestamp,
        wanted: Option<Wanted>,
    ) -> Result<Vec<String>, IndexError> {
        let index = self.setting.index.clone();
        let mut after = None;
        for _ in 0..PAGES {
            let page = index
                .read(move |reader| reader.lettable_copies(volume, after, PAGE))
                .await?;
            let Some(last) = page.last() else { break };
            after = Some((last.start, last.segment));
            let gone = let_go(&self.setting.rules, self.room(), cutoff, wanted, &page);
            if gone.is_empty() {
                continue;
            }
            let went = index
                .write(move |writer| {
                    let mut went = Vec::new();
                    for one in gone {
                        if writer.let_copy_go(one.segment, volume, one.even_the_last)? {
                            went.push(one);
                        }
                    }
                    Ok(went)
                })
                .await?;
            let mut paths = Vec::new();
            for copy in page {
                let Some(one) = went.iter().find(|one| one.segment == copy.segment) else {
                    continue;
                };
                self.held.segments = self.held.segments.saturating_sub(1);
                self.held.bytes = self.held.bytes.saturating_sub(copy.size_bytes);
                if !one.even_the_last {
                    self.horizon = self.horizon.max(copy.start);
                }
                paths.push(copy.path);
            }
            self.keep_horizon();
            self.held = index.read(|reader| reader.held_on_mirrors()).await?;
            tracing::info!(copies = paths.len(), "let the oldest copies on the mirror go");
            return Ok(paths);
        }
        Ok(Vec::new())
    }
}

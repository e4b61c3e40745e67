//! What a person changed of the configured rules while camkeep ran: kept in the index, over restarts.

use serde::{Deserialize, Serialize};

use super::rules::Rules;
use crate::index::{Index, IndexError};

/// Where it is kept.
const KEY: &str = "retention";

/// The rules of the primary that a person set; nothing where the configuration's holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Overrides {
    /// Most that recordings may take.
    pub max_bytes: Option<u64>,
    /// How much of the disk stays free.
    pub min_free_bytes: Option<u64>,
}

impl Overrides {
    /// Those that were kept.
    pub async fn load(index: &Index) -> Result<Self, IndexError> {
        let kept = index.read(|reader| reader.meta(KEY)).await?;
        let kept = kept.and_then(|text| {
            serde_json::from_str(&text)
                .inspect_err(|error| tracing::warn!(%error, "the rules of retention that were set cannot be read; the configuration's hold"))
                .ok()
        });
        Ok(kept.unwrap_or_default())
    }

    /// Keeps them.
    pub async fn keep(self, index: &Index) -> Result<(), IndexError> {
        let text = serde_json::to_string(&self).unwrap_or_default();
        index.write(move |writer| writer.set_meta(KEY, &text)).await
    }

    /// The rules with what was set in place of what is configured.
    #[must_use]
    pub fn over(self, configured: Rules) -> Rules {
        Rules {
            max_bytes: self.max_bytes.or(configured.max_bytes),
            min_free_bytes: self.min_free_bytes.or(configured.min_free_bytes),
            ..configured
        }
    }
}

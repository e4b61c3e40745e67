//! Holds whose time is over.

use super::desk::Desk;
use crate::index::IndexError;
use crate::model::Timestamp;

impl Desk {
    /// Ends the holds whose time is over, by a clock that can be believed: what is recorded reaches so far. While nothing is
    /// recorded nothing asks for the room either.
    pub(super) async fn end_expired_holds(&self, newest: Option<Timestamp>) -> Result<(), IndexError> {
        let Some(now) = self.ages.reference(newest) else {
            return Ok(());
        };
        let index = &self.setting.index;
        if index.read(|reader| reader.count_holds()).await? == 0 {
            return Ok(());
        }
        for hold in index.write(move |writer| writer.end_expired_holds(now)).await? {
            tracing::info!(
                hold = %hold.id, span = %hold.span, owner = hold.owner, reason = hold.reason,
                "the time of a hold is over; its footage is kept by the rules again"
            );
        }
        Ok(())
    }
}

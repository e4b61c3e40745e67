//! The second volume: what writes to it, what keeps it, and what is said when somebody wants one and there is none.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::Config;
use crate::export::Turns;
use crate::index::Index;
use crate::mirror::{Engine, Limits, Mirror, Setting};
use crate::model::{Event, EventKind, News, VolumeRole};
use crate::retain::{self, Retention, Rules};
use crate::runtime::{Clock, Shutdown, Tasks};
use crate::storage::{MirrorTold, MirrorWriter, StorageError};

use super::error::DaemonError;
use super::house::House;

/// Who writes second copies, and what it tells.
pub(super) struct Second {
    pub(super) writer: Arc<MirrorWriter>,
    told: mpsc::UnboundedReceiver<MirrorTold>,
}

impl Second {
    /// Starts the writer, where a mirror is configured. No disk is asked: it may hang.
    pub(super) fn start(config: &Config, clock: &Arc<dyn Clock>) -> Result<Option<Self>, StorageError> {
        if config.storage.mirror.is_none() {
            return Ok(None);
        }
        let (tell, told) = mpsc::unbounded_channel();
        let writer = Arc::new(MirrorWriter::start(MirrorWriter::LIMIT_BYTES, clock.clone(), tell)?);
        Ok(Some(Self { writer, told }))
    }
}

/// The engine's task, and the mirror as others see it.
pub(super) struct Kept {
    pub(super) mirror: Option<Mirror>,
    /// What keeps the mirror within its rules.
    pub(super) retention: Option<Retention>,
    tasks: Tasks,
    recorded: Shutdown,
}

impl Kept {
    /// Starts to keep the mirror.
    pub(super) fn start(
        second: Option<Second>,
        config: &Config,
        house: &House,
        news: &mpsc::UnboundedSender<News>,
        clock: &Arc<dyn Clock>,
        turns: &Turns,
        shutdown: &Shutdown,
    ) -> Self {
        let (mut tasks, recorded) = (Tasks::new(), Shutdown::new());
        let kept = second.zip(config.storage.mirror.clone()).map(|(second, root)| {
            let (turns, volumes, at) = (turns.clone(), house.volumes.clone(), root.clone());
            let rules = rules(config);
            let retention = Retention::new(VolumeRole::Mirror, rules);
            let (of_volume, of_room) = (retention.clone(), retention.clone());
            let setting = Setting {
                root: root.clone(),
                index: house.index.clone(),
                primary: house.volume.clone(),
                writer: second.writer,
                news: news.clone(),
                clock: clock.clone(),
                bytes_per_second: config.mirror.copy_mb_per_second.saturating_mul(1_000_000),
                is_busy: Arc::new(move || turns.are_taken()),
                opened: Arc::new(move |volume| {
                    if let Some(volume) = volume {
                        volumes.use_mirror(Some((volume.id(), at.clone())));
                    }
                    of_volume.use_volume(volume.cloned());
                }),
                make_room: Arc::new(move |newcomer| match newcomer {
                    Some((start, size_bytes)) => of_room.make_room_for(start, size_bytes),
                    None => of_room.make_room(),
                }),
            };
            let (engine, mirror) = Engine::new(setting, second.told);
            tasks.spawn("mirror", engine.run(shutdown.clone(), recorded.clone()));
            let follows = mirror.clone();
            let setting = retain::Setting {
                index: house.index.clone(),
                clock: clock.clone(),
                news: news.clone(),
                role: VolumeRole::Mirror,
                rules,
                reserve: None,
                hears: Arc::new(move |word| follows.follow(limits(word))),
            };
            tasks.spawn("mirror-retention", retention.clone().run(setting, shutdown.clone()));
            (mirror, retention)
        });
        let (mirror, retention) = kept.unzip();
        Self {
            mirror,
            retention,
            tasks,
            recorded,
        }
    }

    /// Recording has ended: the last second copies are closed, and then the task ends.
    pub(super) async fn end(self, deadline: std::time::Duration) -> bool {
        self.recorded.ask();
        self.tasks.join_all(deadline).await
    }
}

fn rules(config: &Config) -> Rules {
    const GIGABYTE: u64 = 1_000_000_000;
    let mirror = &config.mirror;
    Rules {
        keep: Some(mirror.retention).filter(|keep| !keep.is_zero()),
        max_bytes: (mirror.max_gb > 0).then(|| mirror.max_gb.saturating_mul(GIGABYTE)),
        min_free_bytes: mirror.min_free,
    }
}

fn limits(word: retain::Word) -> Limits {
    Limits {
        floor_bytes: word.floor_bytes,
        max_bytes: word.max_bytes,
        cutoff: word.cutoff,
        let_go: word.let_go,
        is_changed: word.is_changed,
        problem: word.problem,
        is_stuck: word.is_stuck,
    }
}

/// Says that cameras want a mirror while there is none.
pub(super) async fn warn_of_none(
    config: &Config,
    index: &Index,
    news: &mpsc::UnboundedSender<News>,
    clock: &dyn Clock,
) -> Result<(), DaemonError> {
    if config.storage.mirror.is_some() {
        return Ok(());
    }
    let wanting = index.read(|reader| reader.mirrored_cameras()).await?;
    if wanting.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = wanting.iter().map(|id| id.as_str()).collect();
    let message = format!(
        "nothing is mirrored, though mirror_enabled is set for {}: no mirror is configured; start camkeep with --mirror DIR, \
         a directory on another disk",
        names.join(", ")
    );
    tracing::warn!("{message}");
    // The ingest task lives until the last sender is gone.
    let _ = news.send(News::Happened(Event {
        at: clock.now(),
        kind: EventKind::MirrorLost,
        camera: None,
        message,
    }));
    Ok(())
}

//! All pipelines by name: built into the binary, and overridden file by file from a directory.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::PipelineError;
use super::template::{Filling, Hole, Template, TemplateError};

/// The pipelines as they are built in, by name.
const BUILT_IN: &[(&str, &str)] = &[
    ("encode-h264", include_str!("../../pipelines/encode-h264.gst")),
    ("encode-h265", include_str!("../../pipelines/encode-h265.gst")),
    ("export", include_str!("../../pipelines/export.gst")),
    ("decode-h264", include_str!("../../pipelines/decode-h264.gst")),
    ("decode-h265", include_str!("../../pipelines/decode-h265.gst")),
    ("mend", include_str!("../../pipelines/mend.gst")),
    ("mend-sound", include_str!("../../pipelines/mend-sound.gst")),
    ("record", include_str!("../../pipelines/record.gst")),
    ("refill", include_str!("../../pipelines/refill.gst")),
    ("retake", include_str!("../../pipelines/retake.gst")),
    ("sound-aac", include_str!("../../pipelines/sound-aac.gst")),
    ("sound-opus", include_str!("../../pipelines/sound-opus.gst")),
    ("sound-g726", include_str!("../../pipelines/sound-g726.gst")),
    ("sound-l16", include_str!("../../pipelines/sound-l16.gst")),
    ("sound-pcma", include_str!("../../pipelines/sound-pcma.gst")),
    ("sound-pcmu", include_str!("../../pipelines/sound-pcmu.gst")),
    ("sound-other", include_str!("../../pipelines/sound-other.gst")),
    ("segments", include_str!("../../pipelines/segments.gst")),
    ("snapshot", include_str!("../../pipelines/snapshot.gst")),
];

/// All pipelines.
#[derive(Debug, Clone)]
pub struct Catalog {
    templates: BTreeMap<String, Template>,
}

impl Catalog {
    /// The pipelines as they are built in.
    pub fn built_in() -> Result<Self, PipelineError> {
        let mut templates = BTreeMap::new();
        for (name, text) in BUILT_IN {
            templates.insert((*name).to_owned(), Template::parse(name, text)?);
        }
        Ok(Self { templates })
    }

    /// The built-in pipelines, each replaced by the file of its name in `directory` where there is one.
    ///
    /// A file of another name is refused: most likely it is a misspelt one, and whoever made it would wait in vain.
    pub fn with_overrides(directory: &Path) -> Result<Self, PipelineError> {
        let mut catalog = Self::built_in()?;
        let fail = |path: &Path, reason: String| PipelineError::Override {
            path: path.to_owned(),
            reason,
        };
        let listing = std::fs::read_dir(directory).map_err(|error| fail(directory, error.to_string()))?;
        for entry in listing {
            let path = entry.map_err(|error| fail(directory, error.to_string()))?.path();
            if path.extension().is_none_or(|extension| extension != "gst") {
                continue;
            }
            let name = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default()
                .to_owned();
            if !catalog.templates.contains_key(&name) {
                let reason = format!("there is no pipeline of that name; there are {}", catalog.known());
                return Err(fail(&path, reason));
            }
            let text = std::fs::read_to_string(&path).map_err(|error| fail(&path, error.to_string()))?;
            let mut template = Template::parse(&name, &text).map_err(|error| fail(&path, error.to_string()))?;
            template.file = Some(path);
            catalog.templates.insert(name, template);
        }
        Ok(catalog)
    }

    /// Every pipeline, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Template> {
        self.templates.values()
    }

    /// One pipeline.
    pub fn get(&self, name: &str) -> Result<&Template, PipelineError> {
        self.templates.get(name).ok_or_else(|| PipelineError::Unknown {
            name: name.to_owned(),
            known: self.known(),
        })
    }

    /// The pipeline that has this one as a part, and in which hole.
    pub fn whole_of(&self, part: &str) -> Option<(&Template, &str)> {
        self.iter().find_map(|whole| {
            let has = |hole: &Hole| matches!(hole, Hole::Part(parts) if parts.iter().any(|one| one == part));
            let (hole, _) = whole.holes().find(|(_, hole)| has(hole))?;
            Some((whole, hole))
        })
    }

    /// A value for each hole of a pipeline and of what may be its parts: enough to read and build it without a camera.
    pub fn sample(&self, name: &str) -> Result<Filling, PipelineError> {
        let template = self.get(name)?;
        let mut filling = Filling::new();
        for (_, hole) in template.holes() {
            if let Hole::Part(parts) = hole {
                let parts = parts.iter().filter_map(|part| self.templates.get(part));
                filling.extend(parts.flat_map(Template::sample));
            }
        }
        filling.extend(template.sample());
        Ok(filling)
    }

    fn known(&self) -> String {
        self.templates.keys().cloned().collect::<Vec<_>>().join(", ")
    }

    /// The filled text of a pipeline, its parts included.
    pub fn fill(&self, name: &str, filling: &Filling) -> Result<String, PipelineError> {
        let part = |part: &str| {
            let missing = || TemplateError::Hole {
                name: name.to_owned(),
                reason: format!("there is no part `{part}`"),
            };
            let template = self.templates.get(part).ok_or_else(missing)?;
            // Parts have no parts of their own: one level is what a reader can hold in mind.
            let none = |inner: &str| {
                Err(TemplateError::Hole {
                    name: part.to_owned(),
                    reason: format!("a part cannot have the part `{inner}`"),
                })
            };
            let own = template
                .holes()
                .map(|(hole, _)| hole)
                .filter_map(|hole| filling.get_key_value(hole));
            template.fill(&own.map(|(name, value)| (name.clone(), value.clone())).collect(), &none)
        };
        Ok(self.get(name)?.fill(filling, &part)?)
    }
}

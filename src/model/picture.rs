//! Stills.

/// How a still is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Still {
    /// JPEG: small, a little less than exact.
    #[default]
    Jpeg,
    /// PNG: every pixel as it was decoded.
    Png,
}

impl Still {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::Jpeg, Self::Png];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
        }
    }

    /// The way a word names; `jpg` is what files are called.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "jpeg" | "jpg" => Some(Self::Jpeg),
            "png" => Some(Self::Png),
            _ => None,
        }
    }

    /// What the name of a file ends in.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
        }
    }

    /// What it is called on the web.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }
}

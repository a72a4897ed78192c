//! Compiled pipelines on disk, where the driver lets them be stored: the next start finds them.
//!
//! A file for each adapter and driver in `$XDG_CACHE_HOME/cotenant/pipelines` (or `~/.cache/…`), read when a device opens and
//! written when it goes and has compiled something new. Drivers check that it is theirs; that it is whole is checked here, by
//! a hash, because they must not be given anything else. `COTENANT_PIPELINE_CACHE=off` does without, another value is the
//! folder. Without a file everything is compiled as if there had never been one.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

/// Bytes of the hash in front of the data.
const HASH_BYTES: usize = 32;

/// The cache of one device.
pub(super) struct DiskCache {
    cache: Option<wgpu::PipelineCache>,
    file: Option<PathBuf>,
    /// Something was compiled that the file may lack.
    grown: AtomicBool,
}

impl DiskCache {
    /// Reads the file of this adapter, if there is one.
    pub(super) fn open(device: &wgpu::Device, info: &wgpu::AdapterInfo) -> DiskCache {
        let file = file_of(info).filter(|_| device.features().contains(wgpu::Features::PIPELINE_CACHE));
        let data = file.as_ref().and_then(|file| fs::read(file).ok()).and_then(|bytes| checked(&bytes));
        let cache = file.is_some().then(|| {
            let descriptor =
                wgpu::PipelineCacheDescriptor { label: Some("pipelines"), data: data.as_deref(), fallback: true };
            // SAFETY: the data are those that `get_data` gave to `Drop::drop` below for the same adapter key: they follow
            // their hash in a file that only this code writes.
            unsafe { device.create_pipeline_cache(&descriptor) }
        });
        DiskCache { cache, file, grown: AtomicBool::new(false) }
    }

    /// A cache that keeps nothing.
    pub(super) fn none() -> DiskCache {
        DiskCache { cache: None, file: None, grown: AtomicBool::new(false) }
    }

    /// For the descriptor of a pipeline that is to be made.
    pub(super) fn get(&self) -> Option<&wgpu::PipelineCache> {
        self.grown.store(true, Ordering::Relaxed);
        self.cache.as_ref()
    }
}

impl Drop for DiskCache {
    fn drop(&mut self) {
        let (Some(cache), Some(file), true) = (&self.cache, &self.file, self.grown.load(Ordering::Relaxed)) else {
            return;
        };
        let Some(data) = cache.get_data() else { return };
        let write = || {
            let folder = file.parent().ok_or_else(|| std::io::Error::other("no folder"))?;
            fs::create_dir_all(folder)?;
            let mut beside = tempfile::NamedTempFile::new_in(folder)?;
            beside.write_all(&Sha256::digest(&data))?;
            beside.write_all(&data)?;
            beside.persist(file).map_err(|e| e.error)
        };
        if let Err(error) = write() {
            tracing::debug!("compiled pipelines are not kept in {}: {error}", file.display());
        }
    }
}

/// The data of a file whose hash is right.
fn checked(bytes: &[u8]) -> Option<Vec<u8>> {
    let (hash, data) = bytes.split_at_checked(HASH_BYTES)?;
    (Sha256::digest(data).as_slice() == hash).then(|| data.to_vec())
}

fn file_of(info: &wgpu::AdapterInfo) -> Option<PathBuf> {
    let key = wgpu::util::pipeline_cache_key(info)?;
    let driver: String = format!("{} {}", info.name, info.driver_info)
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { '-' })
        .collect();
    let folder = match std::env::var_os("COTENANT_PIPELINE_CACHE") {
        Some(value) if value == "off" => return None,
        Some(folder) => PathBuf::from(folder),
        None => cache_folder()?.join("cotenant").join("pipelines"),
    };
    Some(folder.join(format!("{key}-{driver}")))
}

fn cache_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache"))).or_else(|| set("LOCALAPPDATA"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let data = b"what a driver gave".to_vec();
        let mut file = Sha256::digest(&data).to_vec();
        file.extend(&data);
        assert_eq!(checked(&file), Some(data));
        for at in [0, 31, 32, file.len() - 1] {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert_eq!(checked(&damaged), None);
        }
        assert_eq!(checked(&file[..20]), None);
        assert_eq!(checked(&file[..file.len() - 1]), None);
    }
}

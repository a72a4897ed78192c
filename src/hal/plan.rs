//! What every backend checks before it takes a submission: errors first, for what a caller cannot foresee, then the
//! caller's own promises. Kernels run without bounds checks, so a tile range beyond its launch must not get past here.

use super::{HalError, Recording, RecordingId, Region, Submission};

/// Checks `submission`; `recording` finds what is installed, `region` checks a range against its buffer. Nothing has
/// been changed when it returns an error or panics.
///
/// # Errors
/// [`HalError::NoRecording`], or what `region` says.
///
/// # Panics
/// On a slice without tiles or workers, with tiles beyond its launch, of an operation or launch that does not exist, and
/// on an upload whose bytes do not fill its region.
pub(super) fn check<'a>(
    submission: &Submission,
    recording: impl Fn(RecordingId) -> Option<&'a Recording>,
    region: impl Fn(Region) -> Result<(), HalError>,
) -> Result<(), HalError> {
    let uploads = submission.uploads.iter().map(|(target, _)| target);
    uploads.chain(&submission.reads).try_for_each(|r| region(*r))?;
    for (target, bytes) in &submission.uploads {
        assert_eq!(bytes.len() as u64, target.bytes, "an upload's bytes fill its region {target:?}");
    }
    for slice in submission.stages.iter().flat_map(|s| &s.slices) {
        let recording = recording(slice.recording).ok_or(HalError::NoRecording(slice.recording))?;
        let operation = recording.operations.get(slice.operation as usize);
        let launch = operation.and_then(|o| o.launches.get(slice.launch as usize));
        let Some(launch) = launch else { panic!("{slice:?} names a launch that {} does not have", recording.name) };
        assert!(slice.tiles.start < slice.tiles.end, "{slice:?} has tiles");
        assert!(slice.tiles.end <= launch.tiles, "{slice:?} is in the {} tiles of its launch", launch.tiles);
        assert!(slice.workers > 0, "{slice:?} has workers");
    }
    for first in submission.stages.iter().filter_map(|s| s.slices.first()) {
        assert!(!first.follows, "{first:?} is the first of its stage and follows none");
    }
    Ok(())
}

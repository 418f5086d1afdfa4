//! An object store that fails, is slow, loses entries of its listings, and keeps half of what was being written.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::Rng;

use super::world::{Run, Step};

pub struct Faulty {
    run: Arc<Run>,
}

impl Faulty {
    pub fn new(run: Arc<Run>) -> Faulty {
        Faulty { run }
    }

    fn failure() -> object_store::Error {
        object_store::Error::Generic { store: "simulated", source: "it does not answer".into() }
    }

    /// Something was put, and is there.
    fn know_record(&self, location: &Path) {
        if location.filename().is_some_and(|name| name.starts_with("committed-")) {
            self.run.world.record();
        }
    }

    async fn know_checkpoints(&self) {
        let latest = self.run.world.objects.head(&Path::from("job/latest")).await;
        self.run.world.checkpoints(latest.is_ok());
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.run.pause().await;
        let objects = &self.run.world.objects;
        if self.run.is_last_step() {
            // The process ends while it writes: nothing is there, or half of it.
            let bytes: Vec<u8> = payload.iter().flatten().copied().collect();
            if self.run.chance(|random| random.random_bool(0.5)) {
                let _ = objects.put_opts(location, bytes[..bytes.len() / 2].to_vec().into(), options).await;
                self.know_record(location);
            }
            self.run.end().await;
        }
        match self.run.step().await {
            Step::Failed => Err(Faulty::failure()),
            Step::Done => {
                let put = objects.put_opts(location, payload, options).await;
                self.know_record(location);
                self.know_checkpoints().await;
                put
            }
            Step::Unanswered => {
                let _ = objects.put_opts(location, payload, options).await;
                self.know_record(location);
                self.know_checkpoints().await;
                Err(Faulty::failure())
            }
        }
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Faulty::failure())
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.run.step().await {
            Step::Done => self.run.world.objects.get_opts(location, options).await,
            _ => Err(Faulty::failure()),
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let run = Arc::clone(&self.run);
        let delete = move |location: Result<Path>| {
            let faulty = Faulty { run: Arc::clone(&run) };
            async move {
                let location = location?;
                match faulty.run.step().await {
                    Step::Failed => Err(Faulty::failure()),
                    step => {
                        faulty.run.world.objects.delete(&location).await?;
                        faulty.know_checkpoints().await;
                        if step == Step::Done { Ok(location) } else { Err(Faulty::failure()) }
                    }
                }
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (run, all) = (Arc::clone(&self.run), self.run.world.objects.list(prefix));
        all.filter(move |_| {
            let is_lost = run.chance(|random| random.random_bool(run.faults.lost_listings));
            std::future::ready(!is_lost)
        })
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.run.world.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.run.world.objects.copy_opts(from, to, options).await
    }
}

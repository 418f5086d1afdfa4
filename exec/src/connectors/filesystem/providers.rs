//! The object stores that this build knows, by the scheme of their URLs.

use std::sync::{Arc, LazyLock};

use object_store::ObjectStore;
use object_store::memory::InMemory;

#[cfg(feature = "s3")]
use super::OPTIONS;
use crate::connect::Options;
use crate::error::{Error, Result};

/// `memory://`: shared by the tables of one process, gone with it. For tests and for trying things out.
static MEMORY: LazyLock<Arc<InMemory>> = LazyLock::new(Arc::default);

/// A URL as `s3://bucket/` and the key. In memory there are no buckets, all is key.
pub(crate) fn split(url: &str) -> (String, String) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("file", url));
    if scheme == "memory" {
        return ("memory://".to_string(), rest.to_string());
    }
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    (format!("{scheme}://{bucket}/"), key.to_string())
}

/// The store at `root`, such as `s3://bucket/`; `of` says what it is ("the path of table t"). Performs no I/O: wrong credentials show when it is used.
///
/// # Errors
/// The scheme is unknown or not in this build, or a setting is missing.
#[cfg_attr(not(feature = "s3"), expect(unused_variables, reason = "only S3 has options of its own"))]
pub(crate) fn store(root: &str, of: &str, options: &Options) -> Result<Arc<dyn ObjectStore>> {
    let scheme = root.split_once("://").map_or(root, |(scheme, _)| scheme);
    match scheme {
        "memory" => Ok(Arc::<InMemory>::clone(&MEMORY)),
        #[cfg(feature = "s3")]
        "s3" | "s3a" => s3(root, of, options),
        #[cfg(feature = "gcs")]
        "gs" => {
            let built = object_store::gcp::GoogleCloudStorageBuilder::from_env().with_url(root).build();
            Ok(Arc::new(built.map_err(|error| unusable(root, of, &error))?))
        }
        #[cfg(feature = "azure")]
        "az" | "abfs" | "abfss" => {
            let built = object_store::azure::MicrosoftAzureBuilder::from_env().with_url(root).build();
            Ok(Arc::new(built.map_err(|error| unusable(root, of, &error))?))
        }
        _ => Err(not_in_this_build(scheme, root, of)),
    }
}

fn not_in_this_build(scheme: &str, root: &str, of: &str) -> Error {
    let unusable = Error::new(format!("cannot use {root} as {of}"));
    let feature = match scheme {
        "s3" | "s3a" => "s3",
        "gs" => "gcs",
        "az" | "abfs" | "abfss" => "azure",
        _ => {
            return unusable
                .why(format!("{scheme}:// is not a store that tidemill knows"))
                .fix("use a local path, file:, s3://, gs://, az:// or memory://");
        }
    };
    unusable
        .why(format!("this tidemill was built without {scheme}://"))
        .fix(format!("build it with: cargo build --release --features {feature}"))
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
fn unusable(root: &str, of: &str, error: &object_store::Error) -> Error {
    Error::new(format!("cannot use {root} as {of}")).why(error.to_string())
}

/// What the environment says (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, ...), and above that what the table says.
#[cfg(feature = "s3")]
fn s3(root: &str, of: &str, options: &Options) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = object_store::aws::AmazonS3Builder::from_env().with_url(root);
    if let Some(key) = options.get("s3.access-key") {
        builder = builder.with_access_key_id(key);
    }
    if let Some(key) = options.get("s3.secret-key") {
        builder = builder.with_secret_access_key(key);
    }
    if let Some(region) = options.get("s3.region") {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = options.get("s3.endpoint") {
        // Whoever names an address without encryption means it; MinIO on the same machine is the usual case.
        builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
    }
    if options.get("s3.path-style-access").is_some() {
        let path_style = options.boolean(OPTIONS, "s3.path-style-access");
        builder = builder.with_virtual_hosted_style_request(!path_style);
    }
    Ok(Arc::new(builder.build().map_err(|error| unusable(root, of, &error))?))
}

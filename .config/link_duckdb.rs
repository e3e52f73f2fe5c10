//! Build script: links a ready libduckdb when the feature `bundled` is off. CONTRIBUTING.md says how to get one.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "how a build script talks to cargo"
)]

use std::env;

fn main() {
    for name in ["DUCKDB_LIB_DIR", "DUCKDB_STATIC"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=.config/link_duckdb.rs");
    let is_bundled = env::var_os("CARGO_FEATURE_BUNDLED").is_some();
    let Ok(folder) = env::var("DUCKDB_LIB_DIR") else {
        return;
    };
    if is_bundled {
        return;
    }
    if env::var("DUCKDB_STATIC").is_ok_and(|value| value != "0") {
        // The extensions inside the library register themselves from an archive that nothing refers to.
        println!("cargo:rustc-link-search=native={folder}");
        println!("cargo:rustc-link-lib=static:+whole-archive=duckdb_static_extension_autoregister");
        println!("cargo:rustc-link-lib=dylib=stdc++");
    } else if cfg!(unix) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}

//! A task's tree, reached only beneath its root.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::layout::{Layout, Mount};

/// A directory that is resolved as a root: a link made in the container means the same here.
#[derive(Debug, Clone)]
pub struct Tree {
    root: Arc<OwnedFd>,
    path: PathBuf,
}

impl Tree {
    /// Opens an existing directory as a tree.
    pub fn open(path: &Path) -> io::Result<Self> {
        let _ = path;
        unimplemented!("follows")
    }

    /// The directory's path on this host.
    pub fn path(&self) -> &Path {
        let _ = &self.root;
        &self.path
    }

    /// Makes the directories a layout asks for; repeating it is harmless.
    pub fn prepare(&self, layout: &Layout) -> io::Result<()> {
        let _ = layout;
        unimplemented!("follows")
    }

    /// The host path of a mount's source, refused when a command has put a symbolic link on the way to it: an
    /// engine would follow it out of the tree. Ask right before each container is created and started.
    pub fn mount_source(&self, mount: &Mount) -> io::Result<PathBuf> {
        let _ = mount;
        unimplemented!("follows")
    }
}

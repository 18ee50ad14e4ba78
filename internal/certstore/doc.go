// Package certstore reads and watches the certificate files that servers use, installs a new set of them as one
// generation, and puts the old set back when the new one does not work.
//
// # What is kept where
//
// The files themselves lie where the configuration says. While a set is being replaced, hidden files named
// ".certbridged-*.tmp" lie beside them; each is complete and synced before the first real file changes.
//
// The journal holds how far the last few generations of each certificate got and, as long as there is a way back, what
// they replace, with copies of the files as they were. These hold the old private key. They go with Commit, when the new set
// is proven, and with RollBack, when they are back in their places.
//
// # How a set is switched
//
// Everything that can fail for want of rights or room happens first. The journal is told that the generation has begun,
// and given the copies of the old files; then every new file is staged in full beside its target with its final owner,
// group, mode and label. Then all files are renamed into place, their folders are synced, and the journal says "switched".
// A crash before all was staged is undone by Recover, a crash after it is finished, so key and chain match once Recover has
// run; which of both it was, the files tell. The renames follow each other within microseconds but are not one instant: a
// server that happens to read between two of them sees a key beside another chain, refuses it, and is reloaded right after.
//
// # Links and folders of others
//
// A symbolic link is kept and the file it leads to is replaced, in that file's own folder; a dangling link is taken as
// the wish to have the file where it leads. A link that somebody else than root or the daemon's user made or could have made
// (its folder is theirs, or writable for others without the sticky bit) is followed only within its own folder:
// otherwise its owner could have the daemon overwrite any file. Folders are held open by descriptor from the check to the
// rename, so swapping one in between changes nothing.
package certstore

"""Reading git repositories by git's own plumbing: commits, trees and blobs, whatever filters and hooks they have."""

"""A walker of the HDF5 file format: superblock → groups → datasets → where their bytes sit.

It reads headers only, knows no C library, and is written for hostile bytes: every address is visited once,
and the whole walk may read about twice the file's size (see ``Access``), so it ends whatever the file says.
Checksums of headers are not verified: a repository has its own.

Source: HDF5 File Format Specification Version 3.0, https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
"""

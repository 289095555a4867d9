"""Media: read images in every input form, check image and MP4 files, classify URLs. No network.

Public: nothing by this path; `ImageLimits` is exported by the package.
May import: errors, schema.
"""

import ImageSearch
import S3Client
import Testing

@Suite struct ObjectFilterTests {
    @Test func namesOfPicturesThatAreNotReadCountAsPictures() {
        for name in ["a/IMG_1.HEIC", "b.avif", "c.jxl", "d.CR2", "e.psd", "f.jpg"] {
            #expect(ObjectFilter.isNamedLikePicture(name))
        }
        for name in ["IMG_1.MOV", "b.mp4", "c.AAE", "d.xmp", "a/._IMG_1.JPG"] {
            #expect(ObjectFilter.isSkippable(ObjectSummary(key: name, size: 9, etag: nil)))
        }
        for name in ["a.jpg", "a", "mov", "a.mov/b"] {
            #expect(!ObjectFilter.isSkippable(ObjectSummary(key: name, size: 9, etag: nil)))
        }
        for name in ["a.mov", "b.xmp", "heic", "jpg/x", "a/._IMG_1.JPG"] {
            #expect(!ObjectFilter.isNamedLikePicture(name))
        }
    }

    @Test func namesTellFormats() {
        let formats = [
            "a/IMG_1.HEIC": "HEIC", "b.hif": "HEIC", "c.JPEG": "JPEG", "d.NEF": "RAW",
            "e.psd": "PSD", "f.wdp": "JPEG XR",
        ]
        for (name, format) in formats { #expect(ObjectFilter.formatName(name) == format) }
        for name in ["heic", "a.mov", "._a.heic"] { #expect(ObjectFilter.formatName(name) == nil) }
    }
}

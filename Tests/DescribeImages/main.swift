import ClipCore
import Foundation

// Reads paths from stdin, one a line, and prints a line for each: `read`, width, height and the square of
// 224 x 224 pixels in Base64; or `refused` and the sentence. For tools/formats.py.
let preprocessor = ImagePreprocessor(resolution: 224)
while let path = readLine() {
    var line: String
    do {
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
        let (square, metadata) = try bytes.withUnsafeBytes { try preprocessor.rgb(encoded: $0) }
        line = "read\t\(metadata.width)\t\(metadata.height)\t\(Data(square).base64EncodedString())"
    } catch {
        line = "refused\t\(error)"
    }
    // At once, so that a crash shows at which file.
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
}

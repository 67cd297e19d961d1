// RankPictures MODEL TEXT PICTURE…: prints pictures with their similarity to a text, best first.
import ClipCore
import Foundation

let arguments = CommandLine.arguments.dropFirst()
guard let path = arguments.first, let text = arguments.dropFirst().first else {
    print("usage: RankPictures MODEL TEXT PICTURE…")
    exit(64)
}
let model = try ClipModel.load(path)
let query = try model.embed(text: text)
let scores = try arguments.dropFirst(2).map { name in
    let file = [UInt8](try Data(contentsOf: URL(filePath: name)))
    return (name, score: ClipModel.similarity(query, try model.embed(image: file)))
}
for (name, score) in scores.sorted(by: { $0.score > $1.score }) { print(score, name) }

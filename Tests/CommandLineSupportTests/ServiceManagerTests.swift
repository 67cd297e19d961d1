import CommandLineSupport
import Testing

struct ServiceManagerTests {
    /// Signs of life end when nothing has been done for too long, so that systemd starts the process again.
    @Test func aProcessThatMakesNoProgressIsNotAlive() throws {
        let service = try ServiceManager(stallLimit: .seconds(60))
        #expect(service.isAlive(at: .now + .seconds(50)))
        #expect(!service.isAlive(at: .now + .seconds(61)))
    }
}

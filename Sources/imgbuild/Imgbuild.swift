@main
struct Imgbuild {
    static func main() {}
}

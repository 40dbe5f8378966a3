// cuRAND, as far as candle opens it with every device.
extern "C" int curandCreateGenerator(void** generator, int) {
    static int one;
    *generator = &one;
    return 0;
}
extern "C" int curandDestroyGenerator(void*) { return 0; }
extern "C" int curandSetPseudoRandomGeneratorSeed(void*, unsigned long long) { return 0; }
extern "C" int curandSetGeneratorOffset(void*, unsigned long long) { return 0; }
extern "C" int curandSetStream(void*, void*) { return 0; }

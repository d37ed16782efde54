export default {
  files: ['packages/*/dist/**/*.test.js', 'examples/dist/**/*.test.js', 'test/dist/**/*.test.js'],
  // Tests start processes of their own; two cores carry two files of them at a time.
  concurrency: 2,
  timeout: '3m',
  workerThreads: false,
  // Heads of tests are let in by it, whatever the home folder has.
  environmentVariables: { TROUPE_TOKEN: 'a token for tests' },
}

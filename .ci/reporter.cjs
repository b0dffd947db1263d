/** Mocha's usual output, and the two numbers that `.ci/run` adds up in the file that MOCHA_COUNTS names. */
const { appendFileSync } = require('node:fs')
const { reporters } = require('mocha')

module.exports = class extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options)
    const file = process.env.MOCHA_COUNTS
    if (file) runner.once('end', () => appendFileSync(file, `${this.stats.passes} ${this.stats.failures}\n`))
  }
}

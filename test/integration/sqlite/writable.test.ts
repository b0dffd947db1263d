import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect } from 'chai'
import { outsideEnvironment, projectRoot } from '../../support/project/package.ts'

/** Permissions do not bind root, so the child runs as another user. */
const NOBODY = process.getuid?.() === 0 ? 65_534 : null

/** Opens a store for writing, in another process, and returns how that ended. */
function open(what: 'openSqliteEventStore' | 'openSqliteReadModel', path: string): string {
  const file = what === 'openSqliteEventStore' ? 'eventStore.js' : 'readModel.js'
  const module = pathToFileURL(join(projectRoot, 'dist/src/adapters/sqlite', file)).href
  // All code is loaded before, since it may be in a place that only root can read.
  const code = `import { ${what} as open } from '${module}'
    await (await open(':memory:')).close()
    if (${NOBODY} !== null) { process.setgid(${NOBODY}); process.setuid(${NOBODY}) }
    await open('${path}').then((store) => store.close()).then(() => console.log('open'), (error) => console.log(error.name, error.message))`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    encoding: 'utf8',
    // Nobody may write down what was covered, either.
    env: outsideEnvironment(),
  })
  return `${stdout}${stderr}`.trim()
}

for (const what of ['openSqliteEventStore', 'openSqliteReadModel'] as const) {
  describe(`${what}, for writing what cannot be written`, () => {
    let folder: string
    let path: string

    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'tokenledger-'))
      if (NOBODY !== null) chownSync(folder, NOBODY, NOBODY)
      path = join(folder, 'store.db')
      expect(open(what, path)).to.equal('open')
    })
    afterEach(() => {
      chmodSync(folder, 0o700)
      rmSync(folder, { recursive: true })
    })

    it('fails at once and names the file', () => {
      chmodSync(path, 0o400)
      expect(open(what, path)).to.equal(
        `StoreUnavailableError ${path} cannot be written: this process has no permission to write it`,
      )
      chmodSync(path, 0o600)
      expect(open(what, path), 'nothing has come of it').to.equal('open')
    })

    it('fails at once and names the folder', () => {
      const before = readdirSync(folder)
      chmodSync(folder, 0o500)
      expect(open(what, path)).to.equal(
        `StoreUnavailableError ${folder} cannot be written: this process has no permission to write it`,
      )
      expect(readdirSync(folder)).to.deep.equal(before)
    })
  })
}

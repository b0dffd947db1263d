import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect } from 'chai'
import { outsideEnvironment, projectRoot } from '../../support/project/package.ts'

/** Permissions do not bind root, so the child runs as another user. */
const NOBODY = process.getuid?.() === 0 ? 65_534 : null

/** Runs code as the other user, in a process of its own. @param before loads all that it needs */
function asNobody(before: string, code: string): string {
  // All code is loaded before, since it may be in a place that only root can read.
  const whole = `${before}
    if (${NOBODY} !== null) { process.setgid(${NOBODY}); process.setuid(${NOBODY}) }
    ${code}`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', whole], {
    encoding: 'utf8',
    // Nobody may write down what was covered, either.
    env: outsideEnvironment(),
  })
  return `${stdout}${stderr}`.trim()
}

const moduleOf = (file: string): string => pathToFileURL(join(projectRoot, 'dist', file)).href

/** Opens a store for writing, and returns how that ended. */
function open(what: 'openSqliteEventStore' | 'openSqliteReadModel', path: string): string {
  const file = what === 'openSqliteEventStore' ? 'eventStore.js' : 'readModel.js'
  return asNobody(
    `import { ${what} as open } from '${moduleOf(`src/adapters/sqlite/${file}`)}'
    await (await open(':memory:')).close()`,
    `await open('${path}').then((store) => store.close()).then(() => console.log('open'), (error) => console.log(error.name, error.message))`,
  )
}

/** What doctor makes of the right to write the files of both stores. */
function examine(folder: string): { status: string; detail: string } {
  const settings = { eventStoreUrl: `sqlite:${folder}/store.db`, readModelUrl: `sqlite:${folder}/model.db` }
  return JSON.parse(
    asNobody(
      `import { checkWriteAccess } from '${moduleOf('scripts/doctor/hostChecks.js')}'`,
      `console.log(JSON.stringify(checkWriteAccess(${JSON.stringify(settings)})))`,
    ),
  )
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

    it('fails at once where a folder would have to be made in one that is not its own', () => {
      chmodSync(folder, 0o500)
      expect(open(what, join(folder, 'data/more/store.db'))).to.equal(
        `StoreUnavailableError ${folder} cannot be written: this process has no permission to write it`,
      )
    })

    it('fails at once where the file is a folder, whoever may write it', () => {
      expect(open(what, folder)).to.equal(`StoreUnavailableError ${folder} is a folder, and not a file`)
      chmodSync(folder, 0o500)
      expect(open(what, folder)).to.equal(`StoreUnavailableError ${folder} is a folder, and not a file`)
    })

    it('is what doctor finds, too', () => {
      expect(examine(folder)).to.include({ status: 'ok' })
      chmodSync(path, 0o400)
      expect(examine(folder)).to.include({ status: 'fail' })
      expect(examine(folder).detail).to.contain(`${path} cannot be written`)
      chmodSync(path, 0o600)
      chmodSync(folder, 0o500)
      expect(examine(folder)).to.include({
        status: 'fail',
        detail: `${folder} cannot be written: this process has no permission to write it`,
      })
    })
  })
}

import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { blocksOf, textOf } from '../support/project/documents.ts'
import { projectRoot, run } from '../support/project/package.ts'

/** The code of the page as a reader would copy it, with this package as it is built. */
describe('the page about testing an app', function () {
  this.timeout(60_000)
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tested-'))
    const modules = join(folder, 'node_modules')
    await mkdir(modules)
    for (const name of ['koa', 'mocha', 'supertest', 'jsonwebtoken']) {
      await symlink(join(projectRoot, 'node_modules', name), join(modules, name))
    }
    await symlink(projectRoot, join(modules, 'tokenledger'))
    const [app, tests, ...more] = blocksOf(textOf('docs/testing-your-app.md')).filter(
      ({ info }) => info === 'js',
    )
    expect(more).to.deep.equal([])
    await writeFile(join(folder, 'package.json'), '{ "type": "module", "private": true }')
    await writeFile(join(folder, 'app.js'), app?.text ?? '')
    await writeFile(join(folder, 'app.test.js'), tests?.text ?? '')
  })
  after(() => rm(folder, { recursive: true, force: true }))

  it('has tests that pass, that say nothing else, and that leave nothing on the disk', async () => {
    const before = await readdir(folder)
    const mocha = join(projectRoot, 'node_modules/mocha/bin/mocha.js')
    // Without `--exit`: if everything is closed, the process ends by itself.
    const { code, stdout, stderr } = await run(
      process.execPath,
      [mocha, '--timeout', '30000', 'app.test.js'],
      folder,
      50,
    )
    expect(code, stdout + stderr).to.equal(0)
    expect(stdout).to.match(/\b5 passing\b/)
    expect(stderr).to.equal('')
    expect(await readdir(folder)).to.deep.equal(before)
  })
})

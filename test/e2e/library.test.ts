import { mkdtemp, mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { blocksOf, textOf } from '../support/project/documents.ts'
import { projectRoot, run } from '../support/project/package.ts'

describe('docs/library.md', () => {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'library-'))
    await mkdir(join(folder, 'node_modules'))
    await symlink(projectRoot, join(folder, 'node_modules', 'tokenledger'))
  })
  after(() => rm(folder, { recursive: true }))

  it('has an example of calls from code that runs as it stands there, and twice', async () => {
    const example = blocksOf(textOf('docs/library.md')).find(({ text }) => text.includes('ledger.tokens'))
    // The code has no types in it, so every version of Node can run it.
    await writeFile(join(folder, 'example.mjs'), example?.text ?? '')
    for (let time = 0; time < 2; time++) {
      const { code, stdout, stderr } = await run(process.execPath, ['example.mjs'], folder)
      expect(code, stderr).to.equal(0)
      expect(stdout)
        .to.contain('CI deploy is one of 1')
        .and.to.contain('TokenRevoked by code onboarding')
        .and.to.match(/token_revoked \[\]\s*$/)
    }
  })
})

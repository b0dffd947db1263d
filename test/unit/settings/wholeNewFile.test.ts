import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { makeWholeFile } from '../../../src/settings/wholeNewFile.ts'
import { describeWith, PATH } from '../../support/suite/needs.ts'

const MODULE = new URL('../../../src/settings/wholeNewFile.js', import.meta.url).href

describe('A file that is made as a whole', () => {
  let folder: string
  let file: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-whole-'))
    file = join(folder, 'data', 'secrets.json')
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('is for its owner alone, and made once', () => {
    expect(makeWholeFile(file, 'one')).to.equal(true)
    expect(makeWholeFile(file, 'two')).to.equal(false)
    expect(readFileSync(file, 'utf8')).to.equal('one')
    expect(statSync(file).mode & 0o777).to.equal(0o600)
    expect(statSync(join(folder, 'data')).mode & 0o777).to.equal(0o700)
    expect(readdirSync(join(folder, 'data'))).to.deep.equal(['secrets.json'])
  })

  describeWith('prlimit', { argument: '--version', required: false }, 'on a full disk', () => {
    it('is not there at all, nor is anything else', () => {
      const script = `
        const { makeWholeFile } = await import('${MODULE}')
        process.stdout.write('ready ')
        try { makeWholeFile(process.argv[1], 'x'.repeat(5000)) } catch (error) { process.stdout.write(error.code) }`
      const { stdout } = spawnSync(
        'prlimit',
        ['--fsize=2000', process.execPath, '--input-type=module', '-e', script, file],
        { env: { PATH } },
      )
      expect(String(stdout)).to.equal('ready EFBIG')
      expect(readdirSync(join(folder, 'data'))).to.deep.equal([])
      expect(makeWholeFile(file, 'afterwards')).to.equal(true)
    })
  })
})

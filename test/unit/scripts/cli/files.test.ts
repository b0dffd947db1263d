import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { CouldNotLook, WrongUse } from '../../../../scripts/cli/command.ts'
import { sizeOf } from '../../../../scripts/cli/inputFile.ts'
import { NoFolderError, withTemporaryFolder } from '../../../../scripts/cli/temporaryFolder.ts'
import { writeWhole } from '../../../../scripts/cli/wholeFile.ts'
import { signingKey } from '../../../../src/settings/auditKey.ts'
import { keysOf } from '../../../../src/settings/devSecrets.ts'
import { readSettings, SettingsError } from '../../../../src/settings/settings.ts'
import { rejection } from '../../../contract/fixtures.ts'

describe('Files that a command is given', () => {
  let folder: string
  const at = (name: string): string => join(folder, name)

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-files-'))
    writeFileSync(at('file'), 'text')
    mkdirSync(at('folder'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('are wrong use if they cannot be read: the option is named, and not the path', () => {
    expect(sizeOf(at('file'), '--against')).to.equal(4)
    for (const [name, reason] of [
      ['none', 'names a file that cannot be read (ENOENT)'],
      ['file/below', 'names a file that cannot be read (ENOTDIR)'],
      ['x'.repeat(300), 'names a file that cannot be read (ENAMETOOLONG)'],
      ['folder', 'must name a file'],
    ] as const) {
      expect(() => sizeOf(at(name), '--against')).to.throw(WrongUse, `--against ${reason}.`)
      expect(() => sizeOf(at(name), '--against')).not.to.throw(folder)
    }
  })

  it('that cannot be written are named by their option', async () => {
    for (const [name, code] of [
      ['none/out', 'ENOENT'],
      ['file/out', 'ENOTDIR'],
      ['x'.repeat(300), 'ENAMETOOLONG'],
    ] as const) {
      const error = (await rejection(writeWhole(at(name), '--out', async () => {}))) as Error
      expect(error).to.be.instanceOf(CouldNotLook)
      expect(error.message).to.equal(`--out names a file that cannot be written (${code}).`)
    }
    const denied = Object.assign(new Error('what the work throws'), { code: 'EACCES' })
    const rejected = await rejection(writeWhole(at('out'), '--out', () => Promise.reject(denied)))
    expect(rejected).to.equal(denied)
    await writeWhole(at('out'), '--out', (write) => write('whole'))
    expect(readFileSync(at('out'), 'utf8')).to.equal('whole')
    expect(readdirSync(folder).sort()).to.deep.equal(['file', 'folder', 'out'])
  })

  it('where no temporary folder can be made, it is said where', async () => {
    const error = await rejection(withTemporaryFolder(at('none/fold-'), async () => {}))
    expect(error).to.be.instanceOf(NoFolderError)
    expect(String(error)).to.contain(`No temporary folder can be made in ${at('none')} (ENOENT).`)
  })

  it('where a key cannot be made, its setting is named', () => {
    const settings = readSettings({})
    expect(() => signingKey(settings, at('file/key.pem'))).to.throw(
      SettingsError,
      'AUDIT_KEY_FILE is not set',
    )
    expect(() => keysOf(settings, at('file/dev.json'))).to.throw(SettingsError, 'TOKEN_PEPPERS')
  })
})

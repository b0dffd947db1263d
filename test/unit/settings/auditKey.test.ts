import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { checkingKey, signingKey } from '../../../src/settings/auditKey.ts'
import { SettingsError } from '../../../src/settings/settings.ts'

describe('The key of checkpoints', () => {
  let folder: string
  let file: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-key-'))
    file = join(folder, 'data/audit-key.pem')
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const development = { auditKeyFile: null, production: false }
  const configured = (text: string, production = true) => {
    const auditKeyFile = join(folder, 'own.pem')
    writeFileSync(auditKeyFile, text)
    return { auditKeyFile, production }
  }

  it('is made once outside of production, for its owner alone', () => {
    const made = signingKey(development, file)
    expect(statSync(file).mode & 0o777).to.equal(0o600)
    expect(signingKey(development, file).equals(made)).to.equal(true)
    expect(checkingKey(development, file).equals(createPublicKey(made))).to.equal(true)
    expect(createPrivateKey(readFileSync(file)).asymmetricKeyType).to.equal('ed25519')
  })

  it('is not made for whoever only checks', () => {
    expect(() => checkingKey(development, file)).to.throw(SettingsError, /AUDIT_KEY_FILE must name/)
    expect(existsSync(file)).to.equal(false)
  })

  it('is never made in production', () => {
    for (const key of [signingKey, checkingKey]) {
      expect(() => key({ auditKeyFile: null, production: true }, file)).to.throw(
        SettingsError,
        /AUDIT_KEY_FILE must be set in production/,
      )
    }
    expect(existsSync(file)).to.equal(false)
  })

  it('is the one configured, of which the public half is enough to check', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const both = configured(String(privateKey.export({ type: 'pkcs8', format: 'pem' })))
    expect(signingKey(both, file).equals(privateKey)).to.equal(true)
    expect(checkingKey(both, file).equals(publicKey)).to.equal(true)
    const half = configured(String(publicKey.export({ type: 'spki', format: 'pem' })))
    expect(checkingKey(half, file).equals(publicKey)).to.equal(true)
    expect(() => signingKey(half, file)).to.throw(SettingsError, /Ed25519 private key/)
  })

  it('is refused by name and never by content when it is something else', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    for (const text of ['', 'secret nonsense', String(privateKey.export({ type: 'pkcs8', format: 'pem' }))]) {
      for (const key of [signingKey, checkingKey]) {
        const attempt = () => key(configured(text), file)
        expect(attempt).to.throw(SettingsError, /AUDIT_KEY_FILE must name a file with an Ed25519/)
        expect(attempt).not.to.throw(/secret nonsense|BEGIN/)
      }
    }
    const missing = { auditKeyFile: join(folder, 'none.pem'), production: false }
    expect(() => signingKey(missing, file)).to.throw(SettingsError, /cannot be read \(ENOENT\)/)
  })
})

// One secret in an existing vault, and the right of the app to read it.
param vaultName string
param name string

@secure()
param value string

@description('Principal that reads this secret and no other; empty for none.')
param readerPrincipalId string = ''

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' existing = {
  name: vaultName
}

resource secret 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = {
  // checkov:skip=CKV_AZURE_41: holds until its key or password is changed by hand, docs/security.md
  parent: vault
  name: name
  properties: {
    value: value
    contentType: 'text/plain'
  }
}

module reader 'secret-reader.bicep' = if (!empty(readerPrincipalId)) {
  // A deployment's name has 64 characters at most, and the secret of a named hub can have as many.
  name: 'reader-${uniqueString(name)}'
  params: {
    vaultName: vaultName
    name: secret.name
    readerPrincipalId: readerPrincipalId
  }
}

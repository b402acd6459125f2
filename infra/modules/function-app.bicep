// The app on Flex Consumption.
param name string
param planName string
param location string
param tags object
param identityId string
param identityClientId string
param storageName string
param deploymentContainer string
param vaultUri string
param applicationInsightsConnectionString string
param hubName string

@description('Further hubs: the name in the settings, the name of the hub, and of its secret in the vault.')
param moreHubs array

@description('Of the cluster that the app signs in to with its identity; empty for a connection string in the vault.')
param databaseHost string

@description('App settings that differ from the defaults below, by name.')
param overrides object

@description('Subnet that the app sends from; empty for none.')
param subnetId string

@minValue(0)
@description('A call that meets no running instance waits for a cold start. 0 for none.')
param alwaysReadyInstances int

@minValue(0)
@description('HTTP functions scale as a group of their own. 0 for none.')
param alwaysReadyHttpInstances int

param maximumInstances int
param instanceMemoryMB int

// As in local.settings.sample.json, apart from what is secret or belongs to the platform.
var defaults = {
  PYTHON_THREADPOOL_THREAD_COUNT: '64'
  ANHHubUrl: ''
  ANHHubApiVersion: '2020-06'
  DbName: 'calling'
  MongoDbClientId: ''
  DefaultTtlSeconds: '86400'
  RegistrarAccess: 'key'
  OidcIssuer: ''
  OidcAudience: ''
  OidcUserClaim: 'acsMri'
  OidcAdminRole: ''
  MaxDevicesPerUser: '20'
  RegistrationsPerMinute: '60'
  MaxBodyBytes: '65536'
  MaxMriLength: '512'
  MaxDeviceUuidLength: '256'
  MaxDeviceTokenLength: '4096'
  CallRingSeconds: '60'
  InvocationTimeoutSeconds: '20'
  HubConnectTimeoutSeconds: '2'
  HubReadTimeoutSeconds: '5'
  MaxConcurrentSends: '64'
  StopRinging: 'none'
  VisibleNotifications: 'none'
  MissedCallTitle: 'Missed call'
  MissedCallBody: '{caller}'
  IncomingCallTitle: 'Incoming call'
  IncomingCallBody: '{caller}'
  FeedbackSchedule: '0 7 * * * *'
  FeedbackMaximumPercent: '20'
  MongoDbServerSelectionTimeoutSeconds: '2'
  MongoDbOperationTimeoutSeconds: '3'
}

// Telemetry as docs/operations.md has it: the worker sends traces, metrics and the app's own log lines. Nothing is
// instrumented by itself, since a request's URL can hold a token. One sampler for the host and the worker, which keeps
// everything: a smaller OTEL_TRACES_SAMPLER_ARG thins traces out, never the app's log lines.
var telemetry = {
  PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY: 'true'
  PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME: 'acs_call_push'
  OTEL_PYTHON_DISABLED_INSTRUMENTATIONS: 'azure_sdk,django,fastapi,flask,httpx,httpx2,psycopg2,requests,urllib,urllib3'
  OTEL_TRACES_SAMPLER: 'microsoft.fixed_percentage'
  OTEL_TRACES_SAMPLER_ARG: '1.0'
}

var databaseByPassword = '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/mongodb-connection-string)'
// No secret: the app asks for a token. It is Azure's own connection string with another mechanism and no user.
var signIn = 'authMechanism=MONGODB-OIDC&retrywrites=false&maxIdleTimeMS=120000'
var databaseByIdentity = 'mongodb+srv://${databaseHost}/?tls=true&${signIn}'

// What cannot be overridden. Key Vault references without a version follow the secret when it changes.
var fixed = {
  // By address, since the suffix of the name differs between clouds.
  AzureWebJobsStorage__blobServiceUri: storage.properties.primaryEndpoints.blob
  AzureWebJobsStorage__tableServiceUri: storage.properties.primaryEndpoints.table
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  // The identity that the app itself asks for tokens with.
  AZURE_CLIENT_ID: identityClientId
  APPLICATIONINSIGHTS_CONNECTION_STRING: applicationInsightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  // Bytes. Acts before routing, on deliveries of Event Grid too: events have up to 1 MB, and Event Grid does not
  // deliver again what was answered 413. The registrar's own limit is MaxBodyBytes.
  FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: '2097152'
  ANHHubName: hubName
  ANHHubConnectionString: '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/hub-connection-string)'
  ANHHubConnectionStringSecondary: '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/hub-connection-string-secondary)'
  MongoDbConnectionString: empty(databaseHost) ? databaseByPassword : databaseByIdentity
}

// Three settings for each further hub. As the text of JSON: the parser of the policies knows neither toObject() nor
// reduce(). Names of hubs hold no quote.
var vaultReference = '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/'
var hubNames = [for each in moreHubs: '"ANHHub__${each.name}__HubName":"${each.hubName}"']
var hubKeys = [for each in moreHubs: '"ANHHub__${each.name}__ConnectionString":"${vaultReference}${each.entryName})"']
var secondHubKeys = [for each in moreHubs: '"ANHHub__${each.name}__ConnectionStringSecondary":"${vaultReference}${each.entryName}-secondary)"']
var settingsOfHubs = join(concat(hubNames, hubKeys, secondHubKeys), ',')
var namedHubs = json('{${settingsOfHubs}}')

var calls = {
  name: 'function:IncomingCallEventHandler'
  instanceCount: alwaysReadyInstances
}
var requests = {
  name: 'http'
  instanceCount: alwaysReadyHttpInstances
}
// A group without an instance is left out: the platform takes positive counts only.
var readyForCalls = alwaysReadyInstances == 0 ? [] : [calls]
var readyForRequests = alwaysReadyHttpInstances == 0 ? [] : [requests]

resource storage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageName
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  // checkov:skip=CKV_AZURE_225: zones take a second always-ready instance, and not every region has them for this plan
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  // checkov:skip=CKV_AZURE_17: Event Grid, apps and backends bring no client certificate; keys and tokens say who calls
  // checkov:skip=CKV_AZURE_212: counts workers of an App Service plan; here alwaysReady keeps an instance running
  // checkov:skip=CKV_AZURE_213: Premium and Dedicated plans have that check; here a monitor asks /api/health/ready
  // checkov:skip=CKV_AZURE_222: Event Grid, apps and backends call it from the internet
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${deploymentContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        alwaysReady: concat(readyForCalls, readyForRequests)
        maximumInstanceCount: maximumInstances
        instanceMemoryMB: instanceMemoryMB
      }
      runtime: {
        name: 'python'
        version: '3.13'
      }
    }
  }
}

resource appSettings 'Microsoft.Web/sites/config@2025-03-01' = {
  // checkov takes this for the configuration of a site. It is the list of the app's environment variables.
  // checkov:skip=CKV_AZURE_13: not a property of app settings; docs/security.md says what is there instead
  // checkov:skip=CKV_AZURE_63: not a property of app settings; Application Insights records the requests
  // checkov:skip=CKV_AZURE_65: not a property of app settings; Application Insights records what went wrong
  // checkov:skip=CKV_AZURE_66: not a property of app settings; Application Insights records failed requests
  // checkov:skip=CKV_AZURE_80: not a property of app settings; the app is no .NET app
  // checkov:skip=CKV_AZURE_88: not a property of app settings; the package is deployed from a blob container
  // checkov:skip=CKV_AZURE_222: not a property of app settings; the site above says why it is public
  parent: app
  name: 'appsettings'
  properties: union(defaults, telemetry, overrides, fixed, namedHubs)
}

// Deployments sign in with Entra ID; user names and passwords for publishing are off. The children of a site are
// changed one after another: two at once can conflict.
resource ftpPublishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  properties: { allow: false }
  dependsOn: [appSettings]
}

resource scmPublishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  properties: { allow: false }
  dependsOn: [ftpPublishing]
}

output id string = app.id
output name string = app.name
output hostName string = app.properties.defaultHostName

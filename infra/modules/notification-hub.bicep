// A new hub, in a new namespace or one that is there. main.bicep deploys either once: Resource Manager refuses a
// namespace that has a hub with FCM v1 credentials at the second time (Azure/bicep#14513), and a hub without
// credentials would remove those that were entered by hand.
param namespaceName string
param hubName string
param location string
param tags object
param tier string
param makeNamespace bool

@secure()
@description('Base64 of JSON; empty leaves APNs without credentials.')
param apnsCredential string

@secure()
@description('Base64 of JSON; empty leaves FCM v1 without credentials.')
param fcmV1Credential string

@secure()
@description('Base64 of JSON; empty leaves browsers without credentials.')
param browserCredential string

resource newNamespace 'Microsoft.NotificationHubs/namespaces@2023-10-01-preview' = if (makeNamespace) {
  name: namespaceName
  location: location
  tags: tags
  sku: { name: tier }
  properties: {
    namespaceType: 'NotificationHub'
    publicNetworkAccess: 'Enabled'
  }
}

resource namespace 'Microsoft.NotificationHubs/namespaces@2023-10-01-preview' existing = {
  name: namespaceName
}

// A preview version: no other one has fcmV1Credential.
resource hub 'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-10-01-preview' = {
  parent: namespace
  name: hubName
  location: location
  tags: tags
  properties: {
    apnsCredential: empty(apnsCredential) ? null : { properties: json(base64ToString(apnsCredential)) }
    fcmV1Credential: empty(fcmV1Credential) ? null : { properties: json(base64ToString(fcmV1Credential)) }
    browserCredential: empty(browserCredential) ? null : { properties: json(base64ToString(browserCredential)) }
  }
  dependsOn: [newNamespace]
}
